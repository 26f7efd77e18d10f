//! How much of a worker its callers may use. `connections` and `body` enforce it.

use std::time::Duration;

use crate::Error;

/// How much of a worker its callers may use. Made from its default, and changed field by field.
///
/// None of it is about streams: media, control and events come and go over connections that the worker opens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at the same time; more of them wait in the kernel's queue. 1024.
    pub connections: usize,
    /// How long a client may take to send a request's head, and how long a kept connection may be idle; after
    /// that it is closed. 60 s.
    pub head_timeout: Duration,
    /// Largest head of a request, in bytes; at least 8 KiB. A larger one is answered 431, and so are more
    /// than 100 header fields. 64 KiB.
    pub head_bytes: usize,
    /// How long a request's body may take to arrive, from its first byte to its last. A slower one is
    /// answered 408. 30 s.
    pub body_timeout: Duration,
}

/// The HTTP library reads at least this much at a time.
const MIN_HEAD: usize = 8 << 10;

impl Limits {
    pub(crate) fn checked(self) -> Result<Self, Error> {
        // A semaphore counts the connections, and has a limit of its own.
        if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&self.connections) {
            return Err(Error::invalid(format!(
                "limit of {} connections: at least 1 is wanted",
                self.connections
            )));
        }
        if self.head_bytes < MIN_HEAD {
            return Err(Error::invalid(format!(
                "limit of {} bytes of a request's head: at least {MIN_HEAD} are wanted",
                self.head_bytes
            )));
        }
        Ok(self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head_timeout: Duration::from_secs(60),
            head_bytes: 64 << 10,
            body_timeout: Duration::from_secs(30),
        }
    }
}
