//! The counters of a publisher.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what a publisher has sent and dropped. The numbers never decrease.
#[derive(Debug, Default)]
pub struct PublishCounters {
    segments: AtomicU64,
    bytes: AtomicU64,
    segments_dropped: AtomicU64,
    bytes_dropped: AtomicU64,
}

impl PublishCounters {
    /// The number of segments that the server has received completely.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// The number of bytes handed to a connection.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The number of segments that were lost, completely or in part.
    pub fn segments_dropped(&self) -> u64 {
        self.segments_dropped.load(Ordering::Relaxed)
    }

    /// The number of bytes that were lost: refused by a full buffer or a lost segment, discarded before they
    /// were sent, or sent to a server that then stalled.
    pub fn bytes_dropped(&self) -> u64 {
        self.bytes_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn add_segment(&self) {
        self.segments.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_segment(&self) {
        self.segments_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn send_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn drop_bytes(&self, bytes: u64) {
        self.bytes_dropped.fetch_add(bytes, Ordering::Relaxed);
    }
}
