//! What a worker bears from its callers. What happens beyond is `connections`' and `body`'s.

use std::time::Duration;

use crate::Error;

/// What a worker bears from its callers before it lets go of a connection.
///
/// None of it is about a stream: media, control and events come and go over connections that the worker opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue. 1024.
    pub connections: usize,
    /// How long a client may take for a request's head, and a kept connection may idle; then it is closed. 60 s.
    pub head_timeout: Duration,
    /// Largest head of a request in bytes, 8 KiB at least; beyond is 431, as are more than 100 header fields. 64 KiB.
    pub head_bytes: usize,
    /// How long a request's body may take to arrive, first byte to last; beyond is 408. 30 s.
    pub body_timeout: Duration,
}

/// The HTTP library reads at least so much at a time.
const LEAST_HEAD: usize = 8 << 10;

impl Limits {
    pub(crate) fn checked(self) -> Result<Self, Error> {
        // A semaphore counts the connections, and has a limit of its own.
        if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&self.connections) {
            return Err(Error::invalid(format!(
                "limit of {} connections: at least 1 is wanted",
                self.connections
            )));
        }
        if self.head_bytes < LEAST_HEAD {
            return Err(Error::invalid(format!(
                "limit of {} bytes of a request's head: at least {LEAST_HEAD} are wanted",
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
