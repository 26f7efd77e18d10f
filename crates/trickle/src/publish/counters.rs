//! What a publisher counts. Who counts it is for others.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a publisher has done so far. All numbers only grow.
#[derive(Debug, Default)]
pub struct PublishCounters {
    segments: AtomicU64,
    bytes: AtomicU64,
    segments_dropped: AtomicU64,
    bytes_dropped: AtomicU64,
}

impl PublishCounters {
    /// Segments that the server has taken whole.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Bytes handed to a connection.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Segments that were lost, whole or from some byte on.
    pub fn segments_dropped(&self) -> u64 {
        self.segments_dropped.load(Ordering::Relaxed)
    }

    /// Bytes that were refused because the buffer was full or the segment lost, thrown away unsent, or sent to a
    /// server that took its connections and nothing else.
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
