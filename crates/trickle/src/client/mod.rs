//! What the subscriber and the publisher have in common: configuration, addresses, connections and backoff.
//! Their own modules decide which requests to send and what the responses mean.

mod address;
mod backoff;
mod config;
mod connection;
mod endpoint;
mod tls;

pub use address::without_secrets;
pub(crate) use backoff::{Backoff, MISSING_WAIT, SETTLED};
pub use config::ClientConfig;
pub(crate) use connection::{Connection, RequestBody};
pub(crate) use endpoint::{Endpoint, Place};

/// A task that is aborted when this handle is dropped.
pub(crate) struct Owned<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
