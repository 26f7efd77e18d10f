//! Which frame this is, and when it arrived: what a frame keeps from the network to the encoder, whatever is done to
//! its pixels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Tells one frame from every other in this process. Two frames of a stream may have the same timestamp, never the
/// same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameId(u64);

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    id: FrameId,
    arrived: Instant,
}

impl Origin {
    /// The origin of a frame that arrives at this moment.
    pub fn now() -> Self {
        Self::arrived_at(Instant::now())
    }

    /// The origin of another frame, which arrived at `arrived`.
    pub fn arrived_at(arrived: Instant) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: FrameId(NEXT.fetch_add(1, Ordering::Relaxed)), arrived }
    }

    /// Which frame it is.
    pub fn id(&self) -> FrameId {
        self.id
    }

    /// When its access unit arrived or, without one, when the frame was made.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }
}
