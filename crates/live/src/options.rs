//! Options for connecting to trickle servers.

use std::time::Duration;

use cutrickle_trickle::ClientConfig;

/// How long to retry an unreachable trickle server before the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// For the server of the input and of the control channel. Default: 30 s.
    pub input: Duration,
    /// For the servers the stream publishes to: output, events, and data. Default: 10 min.
    pub output: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { input: Duration::from_secs(30), output: Duration::from_secs(600) }
    }
}

/// Options for connecting to trickle servers. Start from the default and change individual fields.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TrickleOptions {
    /// How connections are made.
    pub client: ClientConfig,
    /// How long to retry an unreachable server; replaces [`ClientConfig::retry_window`].
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
