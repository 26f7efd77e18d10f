//! One segment on its way out: a bounded buffer between the writer and the connection, and how far the
//! segment has come. Sending it, and what to do when that fails, is for others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::counters::PublishCounters;
use super::recover::Progress;
use crate::error::{Error, Kind};

/// How far a segment has come, for those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its number is not final.
    Unnumbered,
    /// Its POST is tried under this number, nothing has been sent.
    Numbered(u64),
    /// Bytes of this number are on their way: the next segment is `+ 1`.
    Sending(u64),
    /// Over; the server has `taken` all of it, or not. The next segment is this number.
    Over { taken: bool, next: Option<u64> },
}

/// How the buffer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    /// Nothing more is taken or sent.
    Cut,
}

struct Buffer {
    chunks: VecDeque<Bytes>,
    waiting: usize,
    /// Something was written to it.
    used: bool,
    end: End,
    /// The connection has been given something, were it only the end.
    sent: bool,
    drained: bool,
    /// It was cut because the server did not take it.
    stalled: bool,
    /// How many bytes the connections have been given.
    given: u64,
    /// Since when the server has owed us something: to take what waits, or the answer to what it was given whole.
    owes_since: Option<Instant>,
    /// Counts the POSTs of this segment: the body of an earlier one must not take bytes.
    attempt: u64,
    connection: Option<Waker>,
}

pub(super) struct Segment {
    buffer: Mutex<Buffer>,
    capacity: usize,
    room: Notify,
    cut: Notify,
    phase: watch::Sender<Phase>,
    number: AtomicU64,
    counters: Arc<PublishCounters>,
    channel: Arc<str>,
}

impl Segment {
    /// `expected` is the number that it will have if nothing goes wrong before.
    pub(super) fn new(
        expected: u64,
        capacity: usize,
        counters: Arc<PublishCounters>,
        channel: Arc<str>,
    ) -> Arc<Segment> {
        Arc::new(Segment {
            buffer: Mutex::new(Buffer {
                chunks: VecDeque::new(),
                waiting: 0,
                used: false,
                end: End::Open,
                sent: false,
                drained: false,
                stalled: false,
                given: 0,
                owes_since: None,
                attempt: 0,
                connection: None,
            }),
            capacity,
            room: Notify::new(),
            cut: Notify::new(),
            phase: watch::Sender::new(Phase::Unnumbered),
            number: AtomicU64::new(expected),
            counters,
            channel,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The number, as far as it is known.
    pub(super) fn seq(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        if let Phase::Numbered(seq) = phase {
            self.number.store(seq, Ordering::Relaxed);
        }
        self.phase.send_replace(phase);
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase(), Phase::Over { .. })
    }

    pub(super) fn progress(&self) -> Progress {
        let buffer = self.lock();
        match (buffer.sent, buffer.drained) {
            (false, _) => Progress::Unsent,
            (true, false) => Progress::Partial,
            (true, true) => Progress::Whole,
        }
    }

    pub(super) fn error(&self, kind: Kind) -> Error {
        Error::new(kind).channel(&self.channel).seq(self.seq())
    }

    /// Takes `bytes`, or counts them as dropped.
    pub(super) fn push(&self, bytes: Bytes) -> Result<(), Error> {
        let length = bytes.len();
        self.offer(bytes).map_err(|(_, error)| {
            self.counters.drop_bytes(length as u64);
            error
        })
    }

    /// Takes `bytes` as soon as there is room.
    pub(super) async fn push_waiting(&self, mut bytes: Bytes) -> Result<(), Error> {
        loop {
            let room = self.room.notified();
            match self.offer(bytes) {
                Ok(()) => return Ok(()),
                Err((back, error)) if error.is_full() => {
                    bytes = back;
                    room.await;
                }
                Err((back, error)) => {
                    self.counters.drop_bytes(back.len() as u64);
                    return Err(error);
                }
            }
        }
    }

    fn offer(&self, bytes: Bytes) -> Result<(), (Bytes, Error)> {
        if bytes.is_empty() {
            return Ok(());
        }
        let wake = {
            let mut buffer = self.lock();
            let kind = match buffer.end {
                End::Open if buffer.waiting == 0 => None,
                End::Open if buffer.waiting.saturating_add(bytes.len()) <= self.capacity => None,
                End::Open => Some(Kind::Full),
                End::Finished => Some(Kind::Closed),
                End::Cut => Some(Kind::Lost),
            };
            if let Some(kind) = kind {
                drop(buffer);
                return Err((bytes, self.error(kind)));
            }
            buffer.waiting = buffer.waiting.saturating_add(bytes.len());
            buffer.used = true;
            buffer.owes_since.get_or_insert_with(Instant::now);
            buffer.chunks.push_back(bytes);
            buffer.connection.take()
        };
        if let Some(waker) = wake {
            waker.wake();
        }
        Ok(())
    }

    /// No more bytes will come. Does nothing to a segment that has ended.
    pub(super) fn finish(&self) {
        self.end(End::Finished);
    }

    /// Throws away what is waiting and stops the POST. Does nothing to a segment that was cut already.
    pub(super) fn cut(&self) {
        self.end(End::Cut);
        self.cut.notify_one();
    }

    /// As [`cut`](Self::cut), because the server does not take it.
    pub(super) fn cut_stalled(&self) {
        self.lock().stalled = true;
        self.cut();
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.lock().stalled
    }

    fn end(&self, end: End) {
        let wake = {
            let mut buffer = self.lock();
            match (buffer.end, end) {
                (End::Open, _) | (End::Finished, End::Cut) => buffer.end = end,
                _ => return,
            }
            buffer.owes_since.get_or_insert_with(Instant::now);
            if end == End::Cut {
                self.counters.drop_bytes(buffer.waiting as u64);
                buffer.waiting = 0;
                buffer.chunks.clear();
            }
            buffer.connection.take()
        };
        self.room.notify_waiters();
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().end == End::Open
    }

    pub(super) fn is_used(&self) -> bool {
        self.lock().used
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().end == End::Cut
    }

    /// Resolves once the segment has been cut. For one waiter.
    pub(super) async fn until_cut(&self) {
        while !self.is_cut() {
            self.cut.notified().await;
        }
    }

    /// Waits until bytes of it have been handed to a connection.
    pub(super) async fn until_sent(&self) {
        // The sender is a field of this very value, so waiting can only end by the condition.
        let _ = self.watch().wait_for(|phase| matches!(phase, Phase::Sending(_) | Phase::Over { .. })).await;
    }

    /// Waits until the server has owed us something for `longest` without giving a sign of life. While nothing is
    /// owed, nothing is waited for but its beginning.
    pub(super) async fn until_stalled(&self, longest: Duration) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let owed = self.lock().owes_since;
            // The time before there was a connection is not this one's fault.
            let due = owed.map_or(now, |owed| owed.max(begun)) + longest;
            if owed.is_some() && due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Counts the bytes that a stalled connection was given: nobody knows of them.
    pub(super) fn forget_given(&self) {
        self.counters.drop_bytes(std::mem::take(&mut self.lock().given));
    }

    /// The body of the next POST of this segment.
    pub(super) fn source(self: &Arc<Segment>) -> SegmentSource {
        let mut buffer = self.lock();
        buffer.attempt = buffer.attempt.wrapping_add(1);
        SegmentSource { attempt: buffer.attempt, segment: self.clone() }
    }
}

/// Feeds one POST from a segment's buffer.
pub(crate) struct SegmentSource {
    segment: Arc<Segment>,
    attempt: u64,
}

impl SegmentSource {
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let segment = &*self.segment;
        let mut buffer = segment.lock();
        if buffer.attempt != self.attempt || buffer.end == End::Cut {
            drop(buffer);
            return Poll::Ready(Some(Err(segment.error(Kind::Lost))));
        }
        let first = !buffer.sent;
        let next = match buffer.chunks.pop_front() {
            Some(chunk) => {
                buffer.waiting = buffer.waiting.saturating_sub(chunk.len());
                buffer.given = buffer.given.saturating_add(chunk.len() as u64);
                segment.counters.send_bytes(chunk.len() as u64);
                Some(Ok(chunk))
            }
            None if buffer.end == End::Finished => {
                buffer.drained = true;
                None
            }
            None => {
                buffer.connection = Some(context.waker().clone());
                return Poll::Pending;
            }
        };
        buffer.sent = true;
        let owes = !buffer.chunks.is_empty() || buffer.end == End::Finished;
        buffer.owes_since = owes.then(Instant::now);
        drop(buffer);
        segment.room.notify_waiters();
        if first {
            segment.set_phase(Phase::Sending(segment.seq()));
        }
        Poll::Ready(Some(match next {
            Some(chunk) => chunk,
            None => return Poll::Ready(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(capacity: usize) -> (Arc<Segment>, Arc<PublishCounters>) {
        let counters = Arc::<PublishCounters>::default();
        let segment = Segment::new(0, capacity, counters.clone(), "http://h/c".into());
        segment.set_phase(Phase::Numbered(4));
        (segment, counters)
    }

    fn take(source: &mut SegmentSource) -> Poll<Option<Result<Bytes, Error>>> {
        source.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_buffer_refuses_and_counts_and_an_empty_one_takes_anything() {
        let (segment, counters) = segment(10);
        segment.push(Bytes::from_static(&[0; 50])).unwrap();
        let error = segment.push(Bytes::from_static(&[0; 1])).unwrap_err();
        assert!(error.is_full());
        assert!(error.to_string().contains("http://h/c segment 4"), "{error}");
        assert_eq!(counters.bytes_dropped(), 1);
        let mut source = segment.source();
        assert!(matches!(take(&mut source), Poll::Ready(Some(Ok(chunk))) if chunk.len() == 50));
        segment.push(Bytes::from_static(&[0; 10])).unwrap();
        assert!(segment.push(Bytes::from_static(&[0; 1])).unwrap_err().is_full());
        assert_eq!(counters.bytes(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_has_stalled_when_nothing_of_what_is_owed_comes_for_so_long() {
        const LONGEST: Duration = Duration::from_secs(3);
        let (segment, counters) = segment(1000);
        let stalled = || tokio::time::timeout(LONGEST * 10, segment.until_stalled(LONGEST));
        assert!(stalled().await.is_err(), "nothing is owed");
        let mut source = segment.source();
        segment.push(Bytes::from_static(b"abc")).unwrap();
        segment.push(Bytes::from_static(b"de")).unwrap();
        let begun = Instant::now();
        let mut waiting = std::pin::pin!(segment.until_stalled(LONGEST));
        assert!(tokio::time::timeout(LONGEST / 2, &mut waiting).await.is_err());
        assert!(matches!(take(&mut source), Poll::Ready(Some(Ok(_)))));
        waiting.await;
        assert_eq!(begun.elapsed(), LONGEST * 3 / 2, "the rest of it was not taken");
        assert!(matches!(take(&mut source), Poll::Ready(Some(Ok(_)))));
        assert!(stalled().await.is_err(), "all was taken, and more may come");
        segment.finish();
        assert!(stalled().await.is_ok(), "the answer is owed");
        segment.forget_given();
        segment.forget_given();
        assert_eq!(counters.bytes_dropped(), 5);
    }

    #[test]
    fn a_body_of_an_earlier_try_takes_nothing() {
        let (segment, _) = segment(10);
        let mut stale = segment.source();
        let mut current = segment.source();
        segment.push(Bytes::from_static(b"x")).unwrap();
        assert!(matches!(take(&mut stale), Poll::Ready(Some(Err(_)))));
        assert_eq!(segment.progress(), Progress::Unsent);
        assert!(matches!(take(&mut current), Poll::Ready(Some(Ok(_)))));
        assert_eq!(segment.progress(), Progress::Partial);
        segment.finish();
        assert!(matches!(take(&mut current), Poll::Ready(None)));
        assert_eq!(segment.progress(), Progress::Whole);
    }

    #[test]
    fn a_cut_segment_counts_what_it_throws_away_and_takes_no_more() {
        let (segment, counters) = segment(10);
        segment.push(Bytes::from_static(b"abc")).unwrap();
        segment.cut();
        segment.cut();
        assert!(segment.push(Bytes::from_static(b"de")).unwrap_err().is_lost());
        assert_eq!(counters.bytes_dropped(), 5);
    }
}
