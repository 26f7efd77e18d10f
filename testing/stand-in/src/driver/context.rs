//! Contexts. Each device has one, its primary context, and each thread has its own current one.

use std::cell::RefCell;
use std::ffi::{c_int, c_uint};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use super::stream;
use crate::call::entry_points;
use crate::pointer::Out;
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::Handle;

/// A device's primary context.
pub(crate) struct Context {
    pub(crate) device: usize,
    retained: AtomicUsize,
    /// The first error of work on the device, which every later call returns.
    failed: AtomicI32,
}

static CONTEXTS: LazyLock<Vec<Context>> = LazyLock::new(|| {
    let new = |device| Context { device, retained: AtomicUsize::new(0), failed: AtomicI32::new(0) };
    (0..SETTINGS.devices).map(new).collect()
});

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// The handle of the first device's context. Contexts always exist, so they need no table.
const FIRST: Handle = 0xC0DE << 48;
const STEP: Handle = 0x100;

thread_local! {
    /// The thread's contexts, of which the last one is current.
    static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn initialise() {
    INITIALISED.store(true, Ordering::Release);
}

pub(crate) fn initialised() -> bool {
    INITIALISED.load(Ordering::Acquire)
}

/// The context that `handle` stands for, if it is a context's.
pub(crate) fn find(handle: Handle) -> Option<&'static Context> {
    let offset = handle.checked_sub(FIRST)?;
    if offset % STEP != 0 {
        return None;
    }
    CONTEXTS.get(offset / STEP)
}

/// The context that is current on this thread.
pub(crate) fn current() -> Answer<&'static Context> {
    let handle = STACK.with_borrow(|stack| stack.last().copied()).unwrap_or(0);
    let context = find(handle).ok_or(Status::INVALID_CONTEXT)?;
    if context.retained.load(Ordering::Acquire) == 0 {
        return Err(Status::CONTEXT_IS_DESTROYED);
    }
    Ok(context)
}

impl Context {
    pub(crate) fn handle(&self) -> Handle {
        FIRST + self.device * STEP
    }

    /// Whether anybody retains the context.
    pub(crate) fn is_alive(&self) -> bool {
        self.retained.load(Ordering::Acquire) > 0
    }

    /// # Errors
    /// The error of the first work that failed on the device, if any has.
    pub(crate) fn check(&self) -> Answer {
        match self.failed.load(Ordering::Acquire) {
            0 => Ok(()),
            code => Err(Status(code)),
        }
    }

    /// Records that work on the device failed. From now on every call is refused, as on a real device.
    pub(crate) fn fail(&self, what: &str, status: Status) {
        report::wrong("device", what);
        // The first error stays.
        let _ = self.failed.compare_exchange(0, status.0, Ordering::AcqRel, Ordering::Acquire);
    }
}

fn set_current(handle: Handle) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        if handle != 0 {
            stack.push(handle);
        }
    });
}

fn check_alive(name: &str, handle: Handle) -> Answer<&'static Context> {
    let context = find(handle).ok_or(Status::INVALID_CONTEXT)?;
    if context.retained.load(Ordering::Acquire) == 0 {
        report::wrong(name, "the context was released");
        return Err(Status::CONTEXT_IS_DESTROYED);
    }
    Ok(context)
}

fn of_device(device: c_int) -> Answer<&'static Context> {
    usize::try_from(device).ok().and_then(|device| CONTEXTS.get(device)).ok_or(Status::INVALID_DEVICE)
}

entry_points! {
    fn cuDevicePrimaryCtxRetain(context: Out<Handle>, device: c_int) needs Init {
        let primary = of_device(device)?;
        context.put(primary.handle())?;
        if primary.retained.fetch_add(1, Ordering::AcqRel) == 0 {
            primary.failed.store(0, Ordering::Release);
        }
        Ok(())
    }

    fn cuDevicePrimaryCtxRelease_v2(device: c_int) needs Init {
        let primary = of_device(device)?;
        let less = |retained: usize| retained.checked_sub(1);
        match primary.retained.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(1) => {
                stream::drain(primary);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => {
                report::wrong("cuDevicePrimaryCtxRelease_v2", "released more often than retained");
                Err(Status::INVALID_CONTEXT)
            }
        }
    }

    fn cuDevicePrimaryCtxGetState(device: c_int, flags: Out<c_uint>, active: Out<c_int>) needs Init {
        let primary = of_device(device)?;
        flags.put_if_wanted(0);
        active.put(c_int::from(primary.retained.load(Ordering::Acquire) > 0))
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, _flags: c_uint) needs Init {
        of_device(device).map(drop)
    }

    fn cuCtxGetCurrent(context: Out<Handle>) needs Init {
        context.put(STACK.with_borrow(|stack| stack.last().copied()).unwrap_or(0))
    }

    fn cuCtxSetCurrent(context: Handle) needs Init {
        if context != 0 {
            check_alive("cuCtxSetCurrent", context)?;
        }
        set_current(context);
        Ok(())
    }

    fn cuCtxPushCurrent_v2(context: Handle) needs Init {
        check_alive("cuCtxPushCurrent_v2", context)?;
        STACK.with_borrow_mut(|stack| stack.push(context));
        Ok(())
    }

    fn cuCtxPopCurrent_v2(context: Out<Handle>) needs Init {
        let popped = STACK.with_borrow_mut(Vec::pop).ok_or(Status::INVALID_CONTEXT)?;
        context.put_if_wanted(popped);
        Ok(())
    }

    fn cuCtxGetDevice(device: Out<c_int>) needs Context { device.put(current()?.device as c_int) }

    fn cuCtxGetApiVersion(context: Handle, version: Out<c_uint>) needs Init {
        check_alive("cuCtxGetApiVersion", context)?;
        version.put(3020)
    }

    fn cuCtxSetFlags(_flags: c_uint) needs Context { Ok(()) }

    fn cuCtxGetFlags(flags: Out<c_uint>) needs Context { flags.put(0) }

    fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) needs Context {
        least.put_if_wanted(0);
        greatest.put_if_wanted(-5);
        Ok(())
    }

    fn cuCtxSynchronize() needs Context {
        let context = current()?;
        stream::drain(context);
        context.check()
    }
}
