//! Events, which mark places in streams that others can wait for.

use std::ffi::c_uint;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::context::{self, Context};
use super::stream;
use crate::call::entry_points;
use crate::pointer::Out;
use crate::report;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

/// An event.
pub(crate) struct Event {
    context: &'static Context,
    flags: c_uint,
    /// The place where the event was last recorded.
    mark: Mutex<Option<Arc<Mark>>>,
}

/// A place in a stream.
#[derive(Default)]
pub(crate) struct Mark {
    reached: Mutex<Option<Instant>>,
    told: Condvar,
}

/// Tells a mark that it has been reached, even if the stream failed and dropped its remaining operations.
pub(crate) struct Reach(Arc<Mark>);

impl Drop for Reach {
    fn drop(&mut self) {
        *lock(&self.0.reached) = Some(Instant::now());
        self.0.told.notify_all();
    }
}

impl Mark {
    /// A mark that is reached when the `Reach` is dropped.
    pub(crate) fn new() -> (Arc<Self>, Reach) {
        let mark = Arc::new(Self::default());
        let reach = Reach(Arc::clone(&mark));
        (mark, reach)
    }

    /// When the mark was reached, if it was.
    fn reached(&self) -> Option<Instant> {
        *lock(&self.reached)
    }

    pub(crate) fn wait(&self) {
        let mut reached = lock(&self.reached);
        while reached.is_none() {
            reached = self.told.wait(reached).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

static EVENTS: Table<Event> = Table::new();

/// `CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING`.
const KNOWN_FLAGS: c_uint = 3;
const DISABLE_TIMING: c_uint = 2;

/// How many events have not been destroyed.
pub(crate) fn live() -> usize {
    EVENTS.len()
}

fn find(name: &str, handle: Handle) -> Answer<Arc<Event>> {
    let event =
        EVENTS.get(handle).filter(|event| context::current().is_ok_and(|c| std::ptr::eq(c, event.context)));
    event.ok_or_else(|| {
        report::wrong(name, "there is no such event in this context");
        Status::INVALID_HANDLE
    })
}

fn elapsed(name: &str, milliseconds: Out<f32>, start: Handle, end: Handle) -> Answer {
    let (start, end) = (find(name, start)?, find(name, end)?);
    let time = |event: &Event| {
        if event.flags & DISABLE_TIMING != 0 {
            report::wrong(name, "the event keeps no time");
            return Err(Status::INVALID_HANDLE);
        }
        let mark = lock(&event.mark).clone().ok_or(Status::INVALID_HANDLE)?;
        mark.reached().ok_or(Status::NOT_READY)
    };
    let (from, to) = (time(&start)?, time(&end)?);
    let forward = to.saturating_duration_since(from).as_secs_f32();
    let back = from.saturating_duration_since(to).as_secs_f32();
    milliseconds.put((forward - back) * 1e3)
}

entry_points! {
    fn cuEventCreate(event: Out<Handle>, flags: c_uint) needs Context {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let context = context::current()?;
        event.put(EVENTS.insert(Arc::new(Event { context, flags, mark: Mutex::new(None) })))
    }

    fn cuEventDestroy_v2(event: Handle) needs Context {
        find("cuEventDestroy_v2", event)?;
        EVENTS.remove(event);
        Ok(())
    }

    fn cuEventRecord(event: Handle, on: Handle) needs Context {
        let stream = stream::find("cuEventRecord", on)?;
        let event = find("cuEventRecord", event)?;
        let (mark, reach) = Mark::new();
        stream.submit(move || {
            drop(reach);
            Ok(())
        });
        *lock(&event.mark) = Some(mark);
        Ok(())
    }

    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) needs Context {
        let stream = stream::find("cuStreamWaitEvent", stream)?;
        let event = find("cuStreamWaitEvent", event)?;
        if flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        // An event that was never recorded counts as reached.
        if let Some(mark) = lock(&event.mark).clone() {
            stream.submit(move || {
                mark.wait();
                Ok(())
            });
        }
        Ok(())
    }

    fn cuEventQuery(event: Handle) needs Context {
        let mark = lock(&find("cuEventQuery", event)?.mark).clone();
        match mark {
            Some(mark) if mark.reached().is_none() => Err(Status::NOT_READY),
            _ => Ok(()),
        }
    }

    fn cuEventSynchronize(event: Handle) needs Context {
        let event = find("cuEventSynchronize", event)?;
        let mark = lock(&event.mark).clone();
        if let Some(mark) = mark {
            mark.wait();
        }
        event.context.check()
    }

    fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) needs Context {
        elapsed("cuEventElapsedTime", milliseconds, start, end)
    }

    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) needs Context {
        elapsed("cuEventElapsedTime_v2", milliseconds, start, end)
    }
}
