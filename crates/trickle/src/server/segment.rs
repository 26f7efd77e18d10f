//! The bytes of one segment, shared by all of its readers. Chunks are kept as they arrived and are not
//! copied. A reader is a position in the list of chunks, so slow readers cost nothing. `channel` decides
//! which segments exist.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::budget::Account;
use crate::lock::lock;

/// The overhead of a chunk in memory. It is counted so that many tiny chunks are limited as well.
const CHUNK_COST: u64 = 64;
/// Small segments may consist of tiny chunks, so this much overhead is always allowed.
const FREE_COST: u64 = 64 << 10;

/// Whether and how a segment has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The segment has ended.
    Closed,
    /// The segment has ended and so has its channel.
    Terminated,
}

/// The result of appending bytes. The bytes are dropped unless they were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    Taken,
    /// The segment has ended.
    Ended,
    /// The segment would exceed its limit.
    TooLarge,
    /// The segments of all channels would exceed their common limit.
    NoRoom,
}

pub(crate) struct Segment {
    seq: u64,
    limit: u64,
    account: Account,
    /// The position in the order of creation of all segments of the server.
    age: u64,
    inner: Mutex<Inner>,
    /// Wakes readers on new bytes and at the end.
    readers: Arc<Notify>,
    /// Wakes writers at the end.
    writers: Arc<Notify>,
}

struct Inner {
    chunks: Vec<Bytes>,
    length: u64,
    cost: u64,
    state: State,
    /// The bytes were dropped to make room for other segments.
    evicted: bool,
}

impl Segment {
    /// Creates a segment of the channel that owns `account`.
    pub(crate) fn new(seq: u64, limit: u64, account: Account) -> Arc<Segment> {
        let inner = Inner { chunks: Vec::new(), length: 0, cost: 0, state: State::Open, evicted: false };
        Arc::new_cyclic(|segment| Segment {
            seq,
            limit,
            age: account.enter(segment),
            account,
            inner: Mutex::new(inner),
            readers: Arc::default(),
            writers: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
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

    /// The memory that the segment uses.
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
        // Bytes that will be refused must not evict other segments.
        if let Some(refused) = self.lock().refuses(self.limit, length, cost) {
            return refused;
        }
        if !self.account.reserve(self.age, length, cost) {
            return Appended::NoRoom;
        }
        let mut inner = self.lock();
        if let Some(refused) = inner.refuses(self.limit, length, cost) {
            drop(inner);
            self.account.release(length, cost);
            return refused;
        }
        inner.chunks.push(bytes);
        inner.length = inner.length.saturating_add(length);
        inner.cost = inner.cost.saturating_add(cost);
        drop(inner);
        self.readers.notify_waiters();
        Appended::Taken
    }

    /// Ends the segment and frees its bytes. Readers lose what they have not read yet. Returns false if the
    /// segment was empty.
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

    /// Ends the segment. `Terminated` also applies to a segment that is closed already.
    pub(crate) fn end(&self, state: State) {
        {
            let mut inner = self.lock();
            if inner.state == State::Terminated || state == State::Open {
                return;
            }
            inner.state = state;
        }
        self.readers.notify_waiters();
        self.writers.notify_waiters();
    }

    pub(crate) fn reader(self: &Arc<Segment>) -> Reader {
        Reader { segment: self.clone(), next: 0, waiting: None }
    }

    pub(crate) fn ending(self: &Arc<Segment>) -> Ending {
        Ending { segment: self.clone(), waiting: None }
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
    /// The reason to refuse more bytes, if there is one.
    fn refuses(&self, limit: u64, length: u64, cost: u64) -> Option<Appended> {
        let max_cost = limit.saturating_mul(2).saturating_add(FREE_COST);
        if self.state != State::Open {
            Some(Appended::Ended)
        } else if self.length.saturating_add(length) > limit || self.cost.saturating_add(cost) > max_cost {
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
    waiting: Waiting,
}

impl Reader {
    /// Returns the next bytes, or `None` at the end of the segment.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let inner = self.segment.lock();
        if let Some(chunk) = inner.chunks.get(self.next) {
            self.next = self.next.saturating_add(1);
            return Poll::Ready(Some(chunk.clone()));
        }
        if inner.state != State::Open {
            return Poll::Ready(None);
        }
        wait(&mut self.waiting, &self.segment.readers, context);
        Poll::Pending
    }

    /// How many bytes are left, if that is certain.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let inner = self.segment.lock();
        let rest = inner.chunks.get(self.next..).unwrap_or_default();
        (!inner.evicted && inner.state != State::Open)
            .then(|| rest.iter().map(|chunk| chunk.len() as u64).sum())
    }

    /// Whether everything was read and no more bytes will come.
    pub(crate) fn is_at_end(&self) -> bool {
        let inner = self.segment.lock();
        !inner.evicted && inner.state != State::Open && self.next >= inner.chunks.len()
    }

    /// Whether the rest of the segment was evicted after a part of it had been read.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.next > 0 && self.segment.lock().evicted
    }
}

/// Waits for the end of a segment.
pub(crate) struct Ending {
    segment: Arc<Segment>,
    waiting: Waiting,
}

impl Ending {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let inner = self.segment.lock();
        if inner.state != State::Open {
            return Poll::Ready(());
        }
        wait(&mut self.waiting, &self.segment.writers, context);
        Poll::Pending
    }
}

type Waiting = Option<Pin<Box<OwnedNotified>>>;

/// Wakes the task at the next notification. The caller must hold the lock of the segment, so that no change
/// is missed.
fn wait(waiting: &mut Waiting, notify: &Arc<Notify>, context: &mut Context<'_>) {
    let notified = waiting.get_or_insert_with(|| Box::pin(notify.clone().notified_owned()));
    // A notification that has arrived belongs to an earlier change, which the caller has seen.
    while notified.as_mut().poll(context).is_ready() {
        notified.set(notify.clone().notified_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

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
}
