//! Handles: numbers that stand for objects. None is given twice, and one kind's is not another's, so that a handle
//! used too late or in the wrong place is found.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What callers hold: a pointer that points to nothing.
pub(crate) type Handle = usize;

/// Handles begin where no memory can be, so that a caller who looks into one is stopped.
static NEXT: AtomicUsize = AtomicUsize::new(0x10);
const NOWHERE: usize = 0x5AFE << 48;

/// A handle that was never given.
pub(crate) fn new_handle() -> Handle {
    NOWHERE + NEXT.fetch_add(0x10, Ordering::Relaxed)
}

/// A mutex that another thread's panic does not spoil.
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
