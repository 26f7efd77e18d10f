//! What subscriber and publisher share: configuration, the channel's address, connections, backoff.
//! What to ask for, and what an answer means, is decided by their own modules.

mod address;
mod backoff;
mod config;
mod connection;
mod endpoint;
mod tls;

pub use address::without_secrets;
pub(crate) use backoff::{Backoff, SETTLED};
pub use config::ClientConfig;
pub(crate) use connection::{Connection, RequestBody};
pub(crate) use endpoint::{Endpoint, Place};

/// A task that ends when its owner is dropped.
pub(crate) struct Owned<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
