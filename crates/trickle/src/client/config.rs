//! The settings of a subscriber or publisher.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// How a subscriber or publisher connects, how long it waits, and when it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The time limit for connecting: name resolution, TCP and TLS together. 5 s by default.
    pub connect_timeout: Duration,
    /// A GET that has waited this long for its first byte is sent again. 20 s by default, like the Go
    /// subscriber.
    pub renew_after: Duration,
    /// A segment that delivers no byte for this long counts as broken off. 30 s by default.
    pub read_timeout: Duration,
    /// How long to go on retrying while the server is unreachable. The waits between tries double from
    /// 100 ms up to 500 ms. 30 s by default.
    pub retry_window: Duration,
    /// How long to wait for a channel that does not exist, both at the start and after the server was
    /// unreachable. 10 s by default.
    pub missing_grace: Duration,
    /// How many bytes of one segment may wait to be sent. An empty buffer accepts a single write of any
    /// size. 4 MiB by default.
    pub segment_buffer: usize,
    /// How long [`Publisher::segment`](crate::Publisher::segment) waits for earlier segments that the
    /// server does not take. The oldest one is dropped after that. 1 s by default.
    pub patience: Duration,
    /// A POST has stalled if, for this long, the server reads none of the bytes that are waiting or does not
    /// answer. Its connection then counts as broken. 3 s by default.
    pub stall_timeout: Duration,
    /// The time limit for [`Publisher::close`](crate::Publisher::close). 2 s by default.
    pub close_timeout: Duration,
    /// Accept any certificate. Off by default.
    pub insecure_skip_verify: bool,
    /// A PEM file of certificates to trust in addition to the usual roots.
    pub ca_file: Option<PathBuf>,
}

impl ClientConfig {
    /// The resulting TLS settings, for other clients of the same servers. They name no application
    /// protocols. This reads `ca_file`, so it blocks.
    ///
    /// # Errors
    /// `ca_file` cannot be read or contains no certificate.
    pub fn tls(&self) -> Result<rustls::ClientConfig, Error> {
        let mut settings =
            (*super::tls::settings(self.ca_file.as_deref(), self.insecure_skip_verify)?).clone();
        settings.alpn_protocols.clear();
        Ok(settings)
    }
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            connect_timeout: Duration::from_secs(5),
            renew_after: Duration::from_secs(20),
            read_timeout: Duration::from_secs(30),
            retry_window: Duration::from_secs(30),
            missing_grace: Duration::from_secs(10),
            segment_buffer: 4 << 20,
            patience: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(2),
            insecure_skip_verify: false,
            ca_file: None,
        }
    }
}
