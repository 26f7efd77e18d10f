//! The context locks that callers of the library share.

use std::ffi::c_uint;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::call::entry_points;
use crate::driver::context;
use crate::pointer::Out;
use crate::status::Status;
use crate::table::{Handle, Table, lock};

#[derive(Default)]
struct ContextLock {
    held: Mutex<bool>,
    freed: Condvar,
}

static LOCKS: Table<ContextLock> = Table::new();

/// How many locks have not been destroyed.
pub(super) fn live() -> usize {
    LOCKS.len()
}

/// Whether `handle` is a lock.
pub(super) fn is_one(handle: Handle) -> bool {
    LOCKS.get(handle).is_some()
}

entry_points! {
    fn cuvidCtxLockCreate(to: Out<Handle>, of: Handle) needs Init {
        context::find(of).ok_or(Status::INVALID_CONTEXT)?;
        to.put(LOCKS.insert(Arc::default()))
    }

    fn cuvidCtxLockDestroy(of: Handle) needs Nothing {
        LOCKS.remove(of).map(drop).ok_or(Status::INVALID_HANDLE)
    }

    fn cuvidCtxLock(of: Handle, _flags: c_uint) needs Nothing {
        let of = LOCKS.get(of).ok_or(Status::INVALID_HANDLE)?;
        let mut held = lock(&of.held);
        while *held {
            held = of.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held = true;
        Ok(())
    }

    fn cuvidCtxUnlock(of: Handle, _flags: c_uint) needs Nothing {
        let of = LOCKS.get(of).ok_or(Status::INVALID_HANDLE)?;
        *lock(&of.held) = false;
        of.freed.notify_one();
        Ok(())
    }
}
