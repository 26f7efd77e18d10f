//! Pinned host memory, either allocated here or registered by the caller.

use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Arc, Mutex};

use super::{context, memory, stream};
use crate::call::entry_points;
use crate::guarded::{FREED, Guarded};
use crate::pointer::{Host, Out};
use crate::report;
use crate::status::{Answer, Status};
use crate::table::lock;

/// A pinned range.
struct Pinned {
    length: usize,
    /// The memory itself, if it was allocated here.
    memory: Option<Arc<Guarded>>,
}

static PINNED: Mutex<BTreeMap<usize, Pinned>> = Mutex::new(BTreeMap::new());

/// The flags for portable, mapped and write-combined memory.
const KNOWN_FLAGS: c_uint = 7;

/// How many pinned ranges have been neither freed nor unregistered.
pub(crate) fn live() -> usize {
    lock(&PINNED).len()
}

/// The kind of memory at a host address.
pub(crate) enum Place {
    /// Pinned memory, with what keeps it mapped if it was allocated here.
    Pinned(Option<Arc<Guarded>>),
    Pageable,
}

/// Looks up `length` bytes of host memory.
///
/// # Errors
/// The address is null or on a device, or the range extends beyond the pinned range that it begins in.
pub(crate) fn place(name: &str, at: Host, length: usize) -> Answer<Place> {
    let address = at.address();
    if address == 0 || memory::is_device(address as u64) {
        report::wrong(name, &format!("{address:#x} is no host memory"));
        return Err(Status::INVALID_VALUE);
    }
    let pinned = lock(&PINNED);
    let Some((begin, range)) = pinned.range(..=address).next_back() else { return Ok(Place::Pageable) };
    let offset = address - begin;
    if offset >= range.length {
        return Ok(Place::Pageable);
    }
    if length > range.length - offset {
        report::wrong(name, &format!("{length} bytes at {address:#x}: pinned memory ends before"));
        return Err(Status::INVALID_VALUE);
    }
    Ok(Place::Pinned(range.memory.clone()))
}

fn allocate(to: Out<Host>, size: usize) -> Answer {
    if size == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let memory = Arc::new(Guarded::new(size)?);
    let begin = memory.at(0);
    lock(&PINNED).insert(begin.addr(), Pinned { length: size, memory: Some(memory) });
    to.put(Host(begin.cast::<c_void>()))
}

entry_points! {
    fn cuMemHostAlloc(to: Out<Host>, size: usize, flags: c_uint) needs Context {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        allocate(to, size)
    }

    fn cuMemAllocHost_v2(to: Out<Host>, size: usize) needs Context { allocate(to, size) }

    fn cuMemFreeHost(at: Host) needs Context {
        let owned = lock(&PINNED).get(&at.address()).is_some_and(|range| range.memory.is_some());
        if !owned {
            report::wrong("cuMemFreeHost", "nothing was allocated there");
            return Err(Status::INVALID_VALUE);
        }
        // The real function waits for the device as well.
        stream::drain(context::current()?);
        if let Some(memory) = lock(&PINNED).remove(&at.address()).and_then(|range| range.memory) {
            if !memory.is_intact() {
                report::wrong("cuMemFreeHost", "the allocation was overrun");
            }
            memory.fill(FREED);
        }
        Ok(())
    }

    fn cuMemHostRegister_v2(at: Host, size: usize, flags: c_uint) needs Context {
        if size == 0 || flags & !KNOWN_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        if !matches!(place("cuMemHostRegister_v2", at, 1)?, Place::Pageable) {
            return Err(Status::HOST_MEMORY_ALREADY_REGISTERED);
        }
        lock(&PINNED).insert(at.address(), Pinned { length: size, memory: None });
        Ok(())
    }

    fn cuMemHostUnregister(at: Host) needs Context {
        let mut pinned = lock(&PINNED);
        if pinned.get(&at.address()).is_none_or(|range| range.memory.is_some()) {
            return Err(Status::HOST_MEMORY_NOT_REGISTERED);
        }
        pinned.remove(&at.address());
        Ok(())
    }
}
