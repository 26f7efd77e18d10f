//! How trickle servers are reached.

use std::time::Duration;

use cutrickle_trickle::ClientConfig;

/// For how long a trickle server that is out of reach is tried again before the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The server of the input and of the control channel. 30 s.
    pub input: Duration,
    /// The servers that the stream publishes to: output, events, and data. 10 min.
    pub output: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { input: Duration::from_secs(30), output: Duration::from_secs(600) }
    }
}

/// How trickle servers are reached. Made from its default, and changed field by field.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TrickleOptions {
    /// How connections are made.
    pub client: ClientConfig,
    /// For how long a server that is out of reach is tried again, in the place of [`ClientConfig::retry_window`].
    pub retry: Retry,
}

impl TrickleOptions {
    pub(crate) fn input(&self) -> ClientConfig {
        ClientConfig { retry_window: self.retry.input, ..self.client.clone() }
    }

    pub(crate) fn output(&self) -> ClientConfig {
        ClientConfig { retry_window: self.retry.output, ..self.client.clone() }
    }
}
