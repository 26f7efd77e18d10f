//! What a caller may set about a subscriber or publisher.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// How a subscriber or publisher connects, waits, and gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The longest that name resolution, TCP and TLS may take together. 5 s.
    pub connect_timeout: Duration,
    /// A GET that has waited this long for its first byte is asked again. 20 s, as the Go subscriber does.
    pub renew_after: Duration,
    /// A segment that brings no byte for this long has broken off. 30 s.
    pub read_timeout: Duration,
    /// For how long a server out of reach is tried again (after 100 ms, doubling up to 500 ms). 30 s.
    pub retry_window: Duration,
    /// For how long a channel that does not exist is waited for, at the start and after the server was
    /// out of reach. 10 s.
    pub missing_grace: Duration,
    /// How many bytes of one segment may wait to be sent. One write is always taken by an empty buffer,
    /// whatever its size. 4 MiB.
    pub segment_buffer: usize,
    /// For how long [`Publisher::segment`](crate::Publisher::segment) waits for earlier segments that the
    /// server does not take; after it the oldest is dropped. 1 s.
    pub patience: Duration,
    /// A POST of which the server takes no byte that waits, or which it does not answer, for this long has stalled: its
    /// connection is as good as broken. 3 s.
    pub stall_timeout: Duration,
    /// The longest that [`Publisher::close`](crate::Publisher::close) may take. 2 s.
    pub close_timeout: Duration,
    /// Accept any certificate. Off: certificates are verified.
    pub insecure_skip_verify: bool,
    /// PEM file of certificates to trust beside the usual roots.
    pub ca_file: Option<PathBuf>,
}

impl ClientConfig {
    /// The TLS settings that follow, without application protocols: for other clients of the same servers. Reads
    /// `ca_file` (blocking).
    ///
    /// # Errors
    /// A `ca_file` that cannot be read or holds no certificate.
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
