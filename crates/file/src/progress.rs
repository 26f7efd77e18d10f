//! How much of a file has been read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file its [`FileSource`](crate::FileSource) has handed over, in bytes of a transport stream or samples of an
/// MP4 file. Clones tell the same, from any thread.
///
/// A stream that loses nothing takes units as it processes them, so this is also how far the stream has got, give or take
/// the few dozen frames that its queues hold.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    done: AtomicU64,
    total: u64,
}

impl Progress {
    pub(crate) fn of(total: u64) -> Self {
        Self(Arc::new(Counts { done: AtomicU64::new(0), total }))
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.done.fetch_add(count, Ordering::Relaxed);
    }

    /// How much was handed over; never more than the total.
    pub fn done(&self) -> u64 {
        // A file that somebody still writes to may have grown since it was opened.
        self.0.done.load(Ordering::Relaxed).min(self.0.total)
    }

    /// How much there is.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// The share that was handed over, from 0 to 1. An empty file is done.
    pub fn fraction(&self) -> f64 {
        match self.total() {
            0 => 1.0,
            total => self.done() as f64 / total as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_tell_the_same_and_never_more_than_all() {
        let progress = Progress::of(4);
        progress.clone().add(1);
        assert_eq!((progress.done(), progress.total(), progress.fraction()), (1, 4, 0.25));
        progress.add(9);
        assert_eq!(progress.fraction(), 1.0);
        assert_eq!(Progress::of(0).fraction(), 1.0);
    }
}
