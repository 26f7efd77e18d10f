//! One segment's bytes, shared by everyone who reads it. Chunks are kept as they arrived and handed out by
//! reference; a reader is a position in the list, so that slow ones cost nothing. Which segments exist is
//! `channel`'s business.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::budget::Account;

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
    /// All segments together would grow beyond theirs: dropped.
    NoRoom,
}

pub(crate) struct Segment {
    seq: u64,
    limit: u64,
    account: Account,
    /// Its place among all segments of the server.
    age: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    chunks: Vec<Bytes>,
    length: u64,
    cost: u64,
    state: State,
    /// Its bytes had to make room for others.
    evicted: bool,
    readers: Wakers,
    writers: Wakers,
}

impl Segment {
    /// A segment of the channel that `account` is of.
    pub(crate) fn new(seq: u64, limit: u64, account: Account) -> Arc<Segment> {
        let inner = Inner {
            chunks: Vec::new(),
            length: 0,
            cost: 0,
            state: State::Open,
            evicted: false,
            readers: Wakers::default(),
            writers: Wakers::default(),
        };
        Arc::new_cyclic(|segment| {
            let age = account.enter(segment);
            Segment { seq, limit, account, age, inner: Mutex::new(inner) }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn age(&self) -> u64 {
        self.age
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// What it takes of the server's memory.
    pub(crate) fn cost(&self) -> u64 {
        self.lock().cost
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
        let cost = length.saturating_add(CHUNK_COST);
        // A segment that would not take them must not push out others for them.
        if let Some(refused) = self.lock().refuses(self.limit, length, cost) {
            return refused;
        }
        if !self.account.reserve(self.age, length, cost) {
            return Appended::NoRoom;
        }
        let woken = {
            let mut inner = self.lock();
            if let Some(refused) = inner.refuses(self.limit, length, cost) {
                drop(inner);
                self.account.release(length, cost);
                return refused;
            }
            inner.chunks.push(bytes);
            inner.length = inner.length.saturating_add(length);
            inner.cost = inner.cost.saturating_add(cost);
            inner.readers.take()
        };
        woken.into_iter().for_each(Waker::wake);
        Appended::Taken
    }

    /// Ends the segment and gives its bytes back; those who have not read them all lose the rest. False where there was
    /// nothing to give.
    pub(crate) fn evict(&self) -> bool {
        let (chunks, length, cost) = {
            let mut inner = self.lock();
            inner.evicted = true;
            let cost = std::mem::take(&mut inner.cost);
            (std::mem::take(&mut inner.chunks), std::mem::take(&mut inner.length), cost)
        };
        self.account.release(length, cost);
        self.end(State::Closed);
        !chunks.is_empty()
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
        let (length, cost) = {
            let inner = self.lock();
            (inner.length, inner.cost)
        };
        self.account.release(length, cost);
        self.account.leave(self.age);
    }
}

impl Inner {
    /// Why so many bytes more are not taken.
    fn refuses(&self, limit: u64, length: u64, cost: u64) -> Option<Appended> {
        let most = limit.saturating_mul(2).saturating_add(FREE_COST);
        if self.state != State::Open {
            Some(Appended::Ended)
        } else if self.length.saturating_add(length) > limit || self.cost.saturating_add(cost) > most {
            Some(Appended::TooLarge)
        } else {
            None
        }
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
        (!inner.evicted && inner.state != State::Open)
            .then(|| rest.iter().map(|chunk| chunk.len() as u64).sum())
    }

    /// Whether there is nothing left, now and ever.
    pub(crate) fn is_at_end(&self) -> bool {
        let inner = self.segment.lock();
        !inner.evicted && inner.state != State::Open && self.next >= inner.chunks.len()
    }

    /// Whether the end that was come to is not the segment's: some of it was read, and the rest is gone.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.next > 0 && self.segment.lock().evicted
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
    use super::super::budget::Budget;
    use super::*;

    fn segment(limit: u64) -> (Arc<Segment>, Arc<Budget>) {
        let budget = Budget::new(u64::MAX);
        (Segment::new(3, limit, budget.account()), budget)
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
        let (segment, budget) = segment(1 << 20);
        assert_eq!(segment.append(Bytes::from(vec![0; (1 << 20) + 1])), Appended::TooLarge);
        let mut single = 0;
        while segment.append(Bytes::from_static(b"x")) == Appended::Taken {
            single += 1;
        }
        assert!(single < 40_000, "{single} single bytes");
        assert_eq!(budget.bytes(), single);
        drop(segment);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn an_evicted_segment_is_cut_short_for_those_who_began_it_and_skipped_by_others() {
        let (segment, budget) = segment(100);
        let (mut begun, mut fresh) = (segment.reader(), segment.reader());
        segment.append(Bytes::from_static(b"a"));
        segment.append(Bytes::from_static(b"b"));
        assert!(matches!(poll(&mut begun), Poll::Ready(Some(_))));
        assert!(segment.evict() && !segment.evict());
        assert_eq!(budget.bytes(), 0);
        assert_eq!((poll(&mut begun), poll(&mut fresh)), (Poll::Ready(None), Poll::Ready(None)));
        assert!(begun.is_cut_short() && !begun.is_at_end() && !fresh.is_cut_short());
        assert_eq!(segment.append(Bytes::from_static(b"c")), Appended::Ended);
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
