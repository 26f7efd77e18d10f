//! The identity and arrival time of a frame, which stay with it from the network to the encoder, whatever is
//! done to its pixels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Identifies a frame within this process. Two frames of a stream may share a timestamp, but never an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameId(u64);

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    id: FrameId,
    arrived: Instant,
}

impl Origin {
    /// Creates the origin of a frame that arrives now.
    pub fn now() -> Self {
        Self::arrived_at(Instant::now())
    }

    /// Creates the origin of another frame, which arrived at `arrived`.
    pub fn arrived_at(arrived: Instant) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: FrameId(NEXT.fetch_add(1, Ordering::Relaxed)), arrived }
    }

    /// The frame's id.
    pub fn id(&self) -> FrameId {
        self.id
    }

    /// When the frame's access unit arrived or, without one, when the frame was created.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }
}
