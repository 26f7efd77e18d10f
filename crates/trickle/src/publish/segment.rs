//! The bounded buffer between the writer of a segment and its connection, and the progress of the segment.
//! `post` sends it and `recover` handles failures.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::counters::PublishCounters;
use super::recover::Progress;
use crate::error::{Error, Kind};
use crate::lock::lock;

/// The progress of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The segment does not have a number yet.
    Unnumbered,
    /// The POST uses this number, but nothing has been sent.
    Numbered(u64),
    /// Bytes have been sent under this number, so the number is final.
    Sending(u64),
    /// The segment is complete or lost. `taken` is whether the server received all of it, `next` is the
    /// number of the following segment.
    Over { taken: bool, next: Option<u64> },
}

/// Whether the buffer still accepts bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    /// No more bytes are accepted or sent.
    Cut,
}

struct Buffer {
    chunks: VecDeque<Bytes>,
    waiting: usize,
    /// Bytes have been written.
    used: bool,
    end: End,
    progress: Progress,
    /// The segment was cut because the server stalled.
    stalled: bool,
    /// How many bytes have been handed to connections.
    given: u64,
    /// Since when we have been waiting for the server to read more bytes or to answer.
    waiting_since: Option<Instant>,
    /// Counts the POSTs of this segment, because the body of an earlier POST must not take any bytes.
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
    /// `expected` is the number that the segment will have unless an earlier one fails.
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
                progress: Progress::Unsent,
                stalled: false,
                given: 0,
                waiting_since: None,
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
        lock(&self.buffer)
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The number as far as it is known.
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
        self.lock().progress
    }

    pub(super) fn error(&self, kind: Kind) -> Error {
        Error::new(kind).channel(&self.channel).seq(self.seq())
    }

    /// Accepts `bytes`, or counts them as dropped.
    pub(super) fn push(&self, bytes: Bytes) -> Result<(), Error> {
        let length = bytes.len();
        self.offer(bytes).map_err(|(_, error)| {
            self.counters.drop_bytes(length as u64);
            error
        })
    }

    /// Accepts `bytes` as soon as there is room.
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
            buffer.waiting_since.get_or_insert_with(Instant::now);
            buffer.chunks.push_back(bytes);
            buffer.connection.take()
        };
        if let Some(waker) = wake {
            waker.wake();
        }
        Ok(())
    }

    /// Ends the segment. Has no effect if it has already ended.
    pub(super) fn finish(&self) {
        self.end(End::Finished);
    }

    /// Discards the buffered bytes and stops the POST. Has no effect if the segment was already cut.
    pub(super) fn cut(&self) {
        self.end(End::Cut);
        self.cut.notify_one();
    }

    /// Like [`cut`](Self::cut), for a server that has stalled.
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
            buffer.waiting_since.get_or_insert_with(Instant::now);
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

    /// Waits until the segment is cut. There may be only one waiter.
    pub(super) async fn until_cut(&self) {
        while !self.is_cut() {
            self.cut.notified().await;
        }
    }

    /// Waits until bytes have been handed to a connection.
    pub(super) async fn until_sent(&self) {
        // The sender belongs to `self`, so this cannot fail.
        let _ = self.watch().wait_for(|phase| matches!(phase, Phase::Sending(_) | Phase::Over { .. })).await;
    }

    /// Waits until the server has neither read nor answered for `timeout`, although it should have.
    pub(super) async fn until_stalled(&self, timeout: Duration) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let since = self.lock().waiting_since;
            // The time before this connection was opened does not count.
            let due = since.map_or(now, |since| since.max(begun)) + timeout;
            if since.is_some() && due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Counts the bytes handed to a stalled connection as dropped, because they may not have arrived.
    pub(super) fn forget_given(&self) {
        self.counters.drop_bytes(std::mem::take(&mut self.lock().given));
    }

    /// Returns the body for the next POST of this segment. Earlier bodies take no more bytes.
    pub(super) fn source(self: &Arc<Segment>) -> SegmentSource {
        let mut buffer = self.lock();
        buffer.attempt = buffer.attempt.wrapping_add(1);
        SegmentSource { attempt: buffer.attempt, segment: self.clone() }
    }
}

/// The body of one POST, which takes its bytes from the buffer of the segment.
pub(crate) struct SegmentSource {
    segment: Arc<Segment>,
    attempt: u64,
}

impl SegmentSource {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let segment = &*self.segment;
        let mut buffer = segment.lock();
        if buffer.attempt != self.attempt || buffer.end == End::Cut {
            drop(buffer);
            return Poll::Ready(Some(Err(segment.error(Kind::Lost))));
        }
        let is_first = buffer.progress == Progress::Unsent;
        let next = match buffer.chunks.pop_front() {
            Some(chunk) => {
                buffer.waiting = buffer.waiting.saturating_sub(chunk.len());
                buffer.given = buffer.given.saturating_add(chunk.len() as u64);
                buffer.progress = Progress::Partial;
                segment.counters.send_bytes(chunk.len() as u64);
                Some(Ok(chunk))
            }
            None if buffer.end == End::Finished => {
                buffer.progress = Progress::Whole;
                None
            }
            None => {
                buffer.connection = Some(context.waker().clone());
                return Poll::Pending;
            }
        };
        let is_waiting = !buffer.chunks.is_empty() || buffer.end == End::Finished;
        buffer.waiting_since = is_waiting.then(Instant::now);
        drop(buffer);
        segment.room.notify_waiters();
        if is_first {
            segment.set_phase(Phase::Sending(segment.seq()));
        }
        Poll::Ready(next)
    }
}

impl Body for SegmentSource {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().poll_next(context).map_ok(Frame::data)
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
        const TIMEOUT: Duration = Duration::from_secs(3);
        let (segment, counters) = segment(1000);
        let stalled = || tokio::time::timeout(TIMEOUT * 10, segment.until_stalled(TIMEOUT));
        assert!(stalled().await.is_err(), "there is nothing to wait for");
        let mut source = segment.source();
        segment.push(Bytes::from_static(b"abc")).unwrap();
        segment.push(Bytes::from_static(b"de")).unwrap();
        let begun = Instant::now();
        let mut waiting = std::pin::pin!(segment.until_stalled(TIMEOUT));
        assert!(tokio::time::timeout(TIMEOUT / 2, &mut waiting).await.is_err());
        assert!(matches!(take(&mut source), Poll::Ready(Some(Ok(_)))));
        waiting.await;
        assert_eq!(begun.elapsed(), TIMEOUT * 3 / 2, "the second chunk was not taken");
        assert!(matches!(take(&mut source), Poll::Ready(Some(Ok(_)))));
        assert!(stalled().await.is_err(), "everything was taken");
        segment.finish();
        assert!(stalled().await.is_ok(), "the answer is missing");
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
