//! Measures how long a device takes for each stage of processing a picture, with events. One in sixteen
//! pieces of work is timed. Nothing waits for an event; its time is read after it has completed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, DriverError, result};

use crate::Gpu;

/// The stages of a device's work on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From the request for a picture that is being decoded to its copy: the rest of the decoding, scaling,
    /// cropping and copying.
    Decode,
    /// The conversion of a picture to R'G'B' or to a model's input.
    Convert,
    /// From the processor's first work to its last, including what other streams did on the device in the
    /// meantime.
    Process,
    /// The conversion of pixels to an encoder's input.
    Encode,
    /// The copy of a picture to the host.
    Download,
}

impl Stage {
    /// All stages, in the order in which a picture passes them.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Convert, Self::Process, Self::Encode, Self::Download];

    /// The stage's name in metrics.
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

/// The time that a device spent on a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTime {
    /// The number of pieces of work that were timed, which is one in [`EVERY`].
    pub samples: u64,
    /// Their total time.
    pub total: Duration,
}

/// One in this many pieces of work is timed.
pub const EVERY: u64 = 16;
/// The number of timed pieces of work of a stage whose events may be pending. No more are timed while a
/// device is this far behind.
const MAX_PENDING: usize = 8;

/// The timings of one device's stages.
#[derive(Debug, Default)]
pub(crate) struct Timings([Timing; Stage::ALL.len()]);

#[derive(Debug, Default)]
struct Timing {
    begun: AtomicU64,
    // Locked for one in sixteen pieces of work, and only for as long as querying an event takes.
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    pending: VecDeque<[CudaEvent; 2]>,
    idle: Vec<[CudaEvent; 2]>,
    time: StageTime,
}

/// A piece of work that is being timed. It covers what is enqueued until it is dropped.
#[derive(Debug)]
pub struct TimedWork {
    gpu: Arc<Gpu>,
    stage: Stage,
    events: Option<[CudaEvent; 2]>,
}

impl Gpu {
    /// Begins to time a piece of `stage` if it is the next one to be timed. Returns `None` if the driver
    /// fails, because the work itself then fails too and reports it.
    pub fn sample(self: &Arc<Self>, stage: Stage) -> Option<TimedWork> {
        let timing = &self.timings().0[stage as usize];
        if !timing.begun.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            return None;
        }
        self.bind().ok()?;
        let mut events = timing.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.collect().ok()?;
        if events.pending.len() >= MAX_PENDING {
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

    /// Returns the time that the device has spent on `stage` so far.
    pub fn stage_time(&self, stage: Stage) -> StageTime {
        let mut events =
            self.timings().0[stage as usize].events.lock().unwrap_or_else(PoisonError::into_inner);
        // The caller may be on a thread where the context is not current. Samples that cannot be read any
        // more are left out.
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
    /// Reads the samples whose end event has completed.
    fn collect(&mut self) -> Result<(), DriverError> {
        while let Some([_, end]) = self.pending.front() {
            if !end.try_is_complete()? {
                break;
            }
            let Some([start, end]) = self.pending.pop_front() else { break };
            // SAFETY: both events are alive, belong to one context, and were recorded with timing enabled.
            let ms = unsafe { result::event::elapsed(start.cu_event(), end.cu_event()) }?;
            self.time.samples += 1;
            self.time.total += Duration::try_from_secs_f32(ms / 1e3).unwrap_or_default();
            self.idle.push([start, end]);
        }
        Ok(())
    }
}
