//! How long a device takes over each stage of a picture's way, by events. One piece of work in sixteen is timed, and
//! nothing is ever waited for: what an event has to say is read when it has come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, DriverError, result};

use crate::Gpu;

/// What a device does with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From asking for a picture that is being decoded to its copy: what is left of the decoding, scaling, cropping and
    /// copying.
    Decode,
    /// The picture to R'G'B', or to a model's input.
    Convert,
    /// From the processor's first work to its last; with it whatever other streams did on the device meanwhile.
    Process,
    /// Pixels to an encoder's input.
    Encode,
    /// A picture to the host.
    Download,
}

impl Stage {
    /// All of them, in a picture's order.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Convert, Self::Process, Self::Encode, Self::Download];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Convert => "convert",
            Self::Process => "process",
            Self::Encode => "encode",
            Self::Download => "download",
        }
    }
}

/// Time that a device took over a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTime {
    /// Pieces of work that were timed: one in [`EVERY`].
    pub samples: u64,
    /// Their time together.
    pub total: Duration,
}

/// One piece of work in so many is timed.
pub const EVERY: u64 = 16;
/// TimedWorks of a stage whose events have not come. A device that is so far behind is not asked more.
const MOST_PENDING: usize = 8;

/// The stages of one device.
#[derive(Debug, Default)]
pub(crate) struct Timings([Timing; Stage::ALL.len()]);

#[derive(Debug, Default)]
struct Timing {
    begun: AtomicU64,
    // Taken for one piece of work in sixteen, and for as long as it takes to ask an event.
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    pending: VecDeque<[CudaEvent; 2]>,
    idle: Vec<[CudaEvent; 2]>,
    time: StageTime,
}

/// A piece of work that is being timed: what is enqueued until it is dropped.
#[derive(Debug)]
pub struct TimedWork {
    gpu: Arc<Gpu>,
    stage: Stage,
    events: Option<[CudaEvent; 2]>,
}

impl Gpu {
    /// Begins to time a piece of `stage` if it is one's turn. A driver that fails here fails the work too, which says so:
    /// timing then just stops.
    pub fn sample(self: &Arc<Self>, stage: Stage) -> Option<TimedWork> {
        let timing = &self.timings().0[stage as usize];
        if !timing.begun.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            return None;
        }
        self.bind().ok()?;
        let mut events = timing.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.collect().ok()?;
        if events.pending.len() >= MOST_PENDING {
            return None;
        }
        let idle = events.idle.pop();
        drop(events);
        let event = || self.stream().context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let events = match idle {
            Some(events) => events,
            None => [event().ok()?, event().ok()?],
        };
        events[0].record(self.stream()).ok()?;
        Some(TimedWork { gpu: Arc::clone(self), stage, events: Some(events) })
    }

    /// What the device has taken so far over `stage`.
    pub fn stage_time(&self, stage: Stage) -> StageTime {
        let mut events =
            self.timings().0[stage as usize].events.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asks may be on a thread of its own. What cannot be read any more is left out.
        if self.bind().is_ok() {
            let _ = events.collect();
        }
        events.time
    }
}

impl Drop for TimedWork {
    fn drop(&mut self) {
        let Some(events) = self.events.take() else { return };
        if events[1].record(self.gpu.stream()).is_ok() {
            let timing = &self.gpu.timings().0[self.stage as usize];
            timing.events.lock().unwrap_or_else(PoisonError::into_inner).pending.push_back(events);
        }
    }
}

impl Events {
    /// Reads the samples whose end has come.
    fn collect(&mut self) -> Result<(), DriverError> {
        while let Some([_, end]) = self.pending.front() {
            if !end.try_is_complete()? {
                break;
            }
            let Some([start, end]) = self.pending.pop_front() else { break };
            // SAFETY: both events are alive, of one context, and were recorded with timing on.
            let ms = unsafe { result::event::elapsed(start.cu_event(), end.cu_event()) }?;
            self.time.samples += 1;
            self.time.total += Duration::try_from_secs_f32(ms / 1e3).unwrap_or_default();
            self.idle.push([start, end]);
        }
        Ok(())
    }
}
