//! The state of the delivery to the server. How a publisher reacts to failures is decided by `recover`.

use crate::error::Error;

/// Whether the server receives what a publisher sends.
#[derive(Clone, Debug, Default)]
pub enum Delivery {
    /// Nothing has been sent yet.
    #[default]
    Idle,
    /// The server receives what is sent.
    Taken,
    /// The server is unreachable, reads nothing or does not answer. The publisher keeps retrying.
    Away,
    /// Nothing can be published any more. [`Publisher::segment`](crate::Publisher::segment) returns this
    /// error from now on.
    Failed(Error),
}

impl Delivery {
    /// Whether both are the same variant. Errors are not compared.
    pub(super) fn is_same(&self, other: &Delivery) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
