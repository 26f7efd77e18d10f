//! One segment's bytes, shared by everyone who reads it. Chunks are kept as they arrived and handed out by
//! reference; a reader is a position in the list, so that slow ones cost nothing. Which segments exist is
//! `channel`'s business.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// What a chunk costs beside its bytes; counted, so that a segment of single bytes is bounded as well.
const CHUNK_COST: u64 = 64;
/// Small segments may be as scattered as they like.
const FREE_COST: u64 = 64 << 10;

/// How a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// No more bytes will come.
    Closed,
    /// Neither bytes nor segments will come.
    Terminated,
}

/// What became of appended bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    Taken,
    /// The segment has ended: dropped.
    Ended,
    /// The segment would grow beyond its limit: dropped.
    TooLarge,
}

pub(crate) struct Segment {
    seq: u64,
    limit: u64,
    held: Arc<AtomicU64>,
    inner: Mutex<Inner>,
}

struct Inner {
    chunks: Vec<Bytes>,
    length: u64,
    cost: u64,
    state: State,
    readers: Wakers,
    writers: Wakers,
}

impl Segment {
    /// `held` counts the bytes that all segments of a server keep in memory.
    pub(crate) fn new(seq: u64, limit: u64, held: Arc<AtomicU64>) -> Arc<Segment> {
        let inner = Inner {
            chunks: Vec::new(),
            length: 0,
            cost: 0,
            state: State::Open,
            readers: Wakers::default(),
            writers: Wakers::default(),
        };
        Arc::new(Segment { seq, limit, held, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().length == 0
    }

    pub(crate) fn append(&self, bytes: Bytes) -> Appended {
        let length = bytes.len() as u64;
        if length == 0 {
            return Appended::Taken;
        }
        let woken = {
            let mut inner = self.lock();
            if inner.state != State::Open {
                return Appended::Ended;
            }
            let cost = inner.cost.saturating_add(length).saturating_add(CHUNK_COST);
            let most = self.limit.saturating_mul(2).saturating_add(FREE_COST);
            if inner.length.saturating_add(length) > self.limit || cost > most {
                return Appended::TooLarge;
            }
            inner.chunks.push(bytes);
            inner.length = inner.length.saturating_add(length);
            inner.cost = cost;
            self.held.fetch_add(length, Ordering::Relaxed);
            inner.readers.take()
        };
        woken.into_iter().for_each(Waker::wake);
        Appended::Taken
    }

    /// Ends the segment; `Terminated` also ends a closed one for those still waiting for its channel.
    pub(crate) fn end(&self, state: State) {
        let (readers, writers) = {
            let mut inner = self.lock();
            if inner.state == State::Terminated || state == State::Open {
                return;
            }
            inner.state = state;
            (inner.readers.take(), inner.writers.take())
        };
        readers.into_iter().chain(writers).for_each(Waker::wake);
    }

    pub(crate) fn reader(self: &Arc<Segment>) -> Reader {
        Reader { segment: self.clone(), next: 0, slot: None }
    }

    pub(crate) fn ending(self: &Arc<Segment>) -> Ending {
        Ending { segment: self.clone(), slot: None }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let length = self.lock().length;
        self.held.fetch_sub(length, Ordering::Relaxed);
    }
}

/// A position in a segment.
pub(crate) struct Reader {
    segment: Arc<Segment>,
    next: usize,
    slot: Option<usize>,
}

impl Reader {
    /// The next bytes, or `None` at the segment's end.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut inner = self.segment.lock();
        if let Some(chunk) = inner.chunks.get(self.next) {
            self.next = self.next.saturating_add(1);
            return Poll::Ready(Some(chunk.clone()));
        }
        if inner.state != State::Open {
            return Poll::Ready(None);
        }
        inner.readers.register(&mut self.slot, context.waker());
        Poll::Pending
    }

    /// How many bytes are left, where that is certain.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let inner = self.segment.lock();
        let rest = inner.chunks.get(self.next..).unwrap_or_default();
        (inner.state != State::Open).then(|| rest.iter().map(|chunk| chunk.len() as u64).sum())
    }

    /// Whether there is nothing left, now and ever.
    pub(crate) fn is_at_end(&self) -> bool {
        let inner = self.segment.lock();
        inner.state != State::Open && self.next >= inner.chunks.len()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.segment.lock().readers.release(self.slot.take());
    }
}

/// Waits for a segment's end.
pub(crate) struct Ending {
    segment: Arc<Segment>,
    slot: Option<usize>,
}

impl Ending {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.segment.lock();
        if inner.state != State::Open {
            return Poll::Ready(());
        }
        inner.writers.register(&mut self.slot, context.waker());
        Poll::Pending
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.segment.lock().writers.release(self.slot.take());
    }
}

/// Who is to be woken. Everyone keeps their slot until they release it, so that the list grows with the
/// number of those who wait, not with how often they do.
#[derive(Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    fn register(&mut self, slot: &mut Option<usize>, waker: &Waker) {
        let index = *slot.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len().saturating_sub(1)
            })
        });
        if let Some(registered) = self.slots.get_mut(index) {
            match registered {
                Some(same) if same.will_wake(waker) => {}
                other => *other = Some(waker.clone()),
            }
        }
    }

    fn release(&mut self, slot: Option<usize>) {
        if let Some(index) = slot
            && let Some(registered) = self.slots.get_mut(index)
        {
            *registered = None;
            self.free.push(index);
        }
    }

    fn take(&mut self) -> Vec<Waker> {
        self.slots.iter_mut().filter_map(Option::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(limit: u64) -> (Arc<Segment>, Arc<AtomicU64>) {
        let held = Arc::<AtomicU64>::default();
        (Segment::new(3, limit, held.clone()), held)
    }

    fn poll(reader: &mut Reader) -> Poll<Option<Bytes>> {
        reader.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn every_reader_gets_the_same_memory() {
        let (segment, _) = segment(100);
        let bytes = Bytes::from(vec![1, 2, 3]);
        segment.append(bytes.clone());
        for _ in 0..3 {
            let Poll::Ready(Some(got)) = poll(&mut segment.reader()) else { panic!("no bytes") };
            assert_eq!(got.as_ptr(), bytes.as_ptr());
        }
    }

    #[test]
    fn readers_see_all_bytes_and_then_the_end() {
        let (segment, _) = segment(100);
        let mut reader = segment.reader();
        assert_eq!(poll(&mut reader), Poll::Pending);
        segment.append(Bytes::from_static(b"a"));
        segment.append(Bytes::from_static(b"b"));
        assert_eq!(reader.remaining(), None);
        segment.end(State::Closed);
        assert_eq!(reader.remaining(), Some(2));
        assert_eq!(poll(&mut reader), Poll::Ready(Some(Bytes::from_static(b"a"))));
        assert_eq!(poll(&mut reader), Poll::Ready(Some(Bytes::from_static(b"b"))));
        assert!(reader.is_at_end());
        assert_eq!(poll(&mut reader), Poll::Ready(None));
        assert_eq!(segment.append(Bytes::from_static(b"c")), Appended::Ended);
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_by_chunks_and_given_back() {
        let (segment, held) = segment(1 << 20);
        assert_eq!(segment.append(Bytes::from(vec![0; (1 << 20) + 1])), Appended::TooLarge);
        let mut single = 0;
        while segment.append(Bytes::from_static(b"x")) == Appended::Taken {
            single += 1;
        }
        assert!(single < 40_000, "{single} single bytes");
        assert_eq!(held.load(Ordering::Relaxed), single);
        drop(segment);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn readers_that_come_and_go_leave_nothing_behind() {
        let (segment, _) = segment(100);
        for _ in 0..1000 {
            assert_eq!(poll(&mut segment.reader()), Poll::Pending);
        }
        assert_eq!(segment.lock().readers.slots.len(), 1);
    }
}
