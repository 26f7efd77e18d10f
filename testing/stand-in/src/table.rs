//! Handles, which are numbers that stand for objects.
//!
//! No handle is given out twice, not even for objects of different kinds, so that using one too late or in
//! the wrong place is noticed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What callers hold: a pointer that must not be followed.
pub(crate) type Handle = usize;

/// Handles begin where no memory can be, so that following one ends the process.
static NEXT: AtomicUsize = AtomicUsize::new(0x10);
const NOWHERE: usize = 0x5AFE << 48;

/// A handle that was never given out before.
pub(crate) fn new_handle() -> Handle {
    NOWHERE + NEXT.fetch_add(0x10, Ordering::Relaxed)
}

/// Locks a mutex, even if another thread panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The live objects of one kind.
pub(crate) struct Table<T> {
    objects: Mutex<BTreeMap<Handle, Arc<T>>>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { objects: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn insert(&self, object: Arc<T>) -> Handle {
        let handle = new_handle();
        lock(&self.objects).insert(handle, object);
        handle
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<Arc<T>> {
        lock(&self.objects).get(&handle).cloned()
    }

    pub(crate) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        lock(&self.objects).remove(&handle)
    }

    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.objects).values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.objects).len()
    }
}
