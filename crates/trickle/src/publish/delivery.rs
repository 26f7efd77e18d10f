//! Whether what a publisher is given gets to its server. What is done about it is `recover`'s business.

use crate::error::Error;

/// How a publisher's server takes what it is sent.
#[derive(Clone, Debug, Default)]
pub enum Delivery {
    /// Nothing has been sent yet.
    #[default]
    Idle,
    /// The server takes what it is sent.
    Taken,
    /// The server is out of reach, takes nothing, or does not answer. It is tried again.
    Away,
    /// Nothing can be published any more, and this is why: what [`Publisher::segment`](crate::Publisher::segment)
    /// answers from now on.
    Failed(Error),
}

impl Delivery {
    /// Whether both say the same, whatever the error.
    pub(super) fn is_same(&self, other: &Delivery) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
