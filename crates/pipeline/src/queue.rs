//! The two queues that a live stream may fall behind in. When something in them is late is `lateness`'s to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use cutrickle_codec::VideoCodec;
use cutrickle_frame::{AudioFrame, VideoFrame};
use tokio::sync::Notify;

use crate::lateness::{Lateness, Schedule};
use crate::metrics::Counter;

/// One access unit of video on its way to the decoder.
#[derive(Debug)]
pub(crate) struct CodedPicture {
    pub(crate) codec: VideoCodec,
    pub(crate) data: Bytes,
    pub(crate) timestamp: i64,
    pub(crate) keyframe: bool,
    pub(crate) damaged: bool,
    pub(crate) arrived: Instant,
}

/// Access units waiting for the decoder. Units depend on one another, so a decoder that is behind skips to a
/// keyframe: to one that comes when more waits than may, and to the next one that comes when the queue is full
/// without any.
#[derive(Debug)]
pub(crate) struct CodedQueue {
    state: Mutex<CodedState>,
    ready: Notify,
    lateness: Lateness,
    /// Units that were given up.
    dropped: Arc<Counter>,
}

#[derive(Debug, Default)]
struct CodedState {
    waiting: VecDeque<CodedPicture>,
    bytes: usize,
    /// Everything up to the next keyframe is to be left out.
    skipping: bool,
    closed: bool,
}

/// Five seconds at 60 pictures a second.
const MOST_UNITS: usize = 300;
const MOST_BYTES: usize = 32 << 20;

impl CodedQueue {
    pub(crate) fn new(lateness: Lateness, dropped: Arc<Counter>) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), lateness, dropped }
    }

    /// Appends a unit. Returns how many had to go, this one possibly among them.
    pub(crate) fn push(&self, unit: CodedPicture) -> u64 {
        let mut state = lock(&self.state);
        let mut dropped = 0;
        if state.closed || (state.skipping && !unit.keyframe) {
            dropped += 1;
        } else {
            state.skipping = false;
            let first = state.waiting.front().map_or(unit.timestamp, |first| first.timestamp);
            if unit.keyframe && self.lateness.is_behind(unit.timestamp.saturating_sub(first)) {
                dropped += state.clear();
            }
            state.bytes += unit.data.len();
            state.waiting.push_back(unit);
            if state.waiting.len() > MOST_UNITS || state.bytes > MOST_BYTES {
                dropped += state.clear();
                state.skipping = true;
            }
        }
        self.dropped.add(dropped);
        drop(state);
        self.ready.notify_one();
        dropped
    }

    /// The oldest unit; `None` once the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<CodedPicture> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = lock(&self.state);
                if let Some(unit) = state.waiting.pop_front() {
                    state.bytes -= unit.data.len();
                    return Some(unit);
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// No more will come; what waits can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
    }

    /// No more will come, and what waits is given up.
    pub(crate) fn discard(&self) {
        self.dropped.add(lock(&self.state).clear());
        self.close();
    }
}

impl CodedState {
    fn clear(&mut self) -> u64 {
        let dropped = self.waiting.len() as u64;
        self.waiting.clear();
        self.bytes = 0;
        dropped
    }
}

/// A decoded picture and when its access unit arrived.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) frame: VideoFrame,
    pub(crate) arrived: Instant,
}

/// What a processor is given next.
#[derive(Debug)]
pub(crate) enum Work {
    Video(Picture),
    Audio(AudioFrame),
}

/// Pictures and sound waiting for the processor. In live video a picture goes when the one after it is due, in every
/// stream the oldest goes when more wait than may; sound goes only when ten seconds of it wait. Both come out in the
/// order of their timestamps.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    state: Mutex<FrameState>,
    ready: Notify,
    lateness: Lateness,
    max_pictures: usize,
    /// Pictures that were given up.
    dropped: Arc<Counter>,
}

#[derive(Debug, Default)]
struct FrameState {
    /// Each with the time from which on it takes the place of the one before it.
    pictures: VecDeque<(Instant, Picture)>,
    schedule: Schedule,
    sound: VecDeque<AudioFrame>,
    closed: bool,
}

/// Ten seconds in packets of 20 ms.
const MOST_SOUND: usize = 500;

impl FrameQueue {
    pub(crate) fn new(lateness: Lateness, max_pictures: usize, dropped: Arc<Counter>) -> Self {
        let max_pictures = max_pictures.max(1);
        Self { state: Mutex::default(), ready: Notify::new(), lateness, max_pictures, dropped }
    }

    /// Appends a picture that was decoded just now.
    pub(crate) fn push_picture(&self, picture: Picture) {
        self.push_decoded(picture, Instant::now());
    }

    fn push_decoded(&self, picture: Picture, decoded: Instant) {
        let mut state = lock(&self.state);
        if state.closed {
            return self.dropped.add(1);
        }
        while state.pictures.len() >= self.max_pictures {
            state.pictures.pop_front();
            self.dropped.add(1);
        }
        let due = state.schedule.due(picture.frame.timestamp(), picture.arrived, decoded, &self.lateness);
        state.pictures.push_back((due, picture));
        drop(state);
        self.ready.notify_one();
    }

    /// Appends sound. Returns how many packets had to go for it.
    pub(crate) fn push_sound(&self, frame: AudioFrame) -> u64 {
        let mut state = lock(&self.state);
        if state.closed {
            return 1;
        }
        let full = state.sound.len() >= MOST_SOUND;
        if full {
            state.sound.pop_front();
        }
        state.sound.push_back(frame);
        drop(state);
        self.ready.notify_one();
        u64::from(full)
    }

    /// The picture or sound that is next; `None` once the queue is closed and empty. Safe to cancel.
    pub(crate) async fn pop(&self) -> Option<Work> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = lock(&self.state);
                if let Some(work) = self.next(&mut state, Instant::now()) {
                    return Some(work);
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// The earliest of what waits at `now`, but for pictures whose successor is due.
    fn next(&self, state: &mut FrameState, now: Instant) -> Option<Work> {
        while self.lateness.is_live() && state.pictures.get(1).is_some_and(|(due, _)| *due <= now) {
            state.pictures.pop_front();
            self.dropped.add(1);
        }
        state.next()
    }

    /// No more will come; what waits can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
    }

    /// No more will come, and what waits is given up.
    pub(crate) fn discard(&self) {
        let mut state = lock(&self.state);
        self.dropped.add(state.pictures.len() as u64);
        state.pictures.clear();
        state.sound.clear();
        drop(state);
        self.close();
    }
}

impl FrameState {
    fn next(&mut self) -> Option<Work> {
        let sound_first = match (self.pictures.front(), self.sound.front()) {
            (Some((_, picture)), Some(sound)) => sound.timestamp() <= picture.frame.timestamp(),
            (None, sound) => sound.is_some(),
            (Some(_), None) => false,
        };
        if sound_first {
            self.sound.pop_front().map(Work::Audio)
        } else {
            self.pictures.pop_front().map(|(_, picture)| Work::Video(picture))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these queues whole: every change to them is one push or pop.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cutrickle_frame::{Colour, I420};

    use super::*;
    use crate::{Queueing, StreamOptions};

    fn unit(n: i64, keyframe: bool) -> CodedPicture {
        CodedPicture {
            codec: VideoCodec::H264,
            data: Bytes::from_static(b"unit"),
            timestamp: n * 3000,
            keyframe,
            damaged: false,
            arrived: Instant::now(),
        }
    }

    fn lateness(queueing: Queueing) -> Lateness {
        Lateness::of(&StreamOptions { queueing, ..StreamOptions::default() })
    }

    fn coded(queueing: Queueing) -> CodedQueue {
        CodedQueue::new(lateness(queueing), Arc::default())
    }

    fn decoded(queueing: Queueing, max_pictures: usize) -> FrameQueue {
        FrameQueue::new(lateness(queueing), max_pictures, Arc::default())
    }

    /// Picture `n` of 30 a second, `arrived` ticks of a thirtieth of a second after `start`.
    fn picture(n: i64, start: Instant, arrived: u32) -> Picture {
        let frame = VideoFrame::from_i420(I420::new(2, 2).unwrap(), Colour::BT601, n * 3000);
        Picture { frame, arrived: start + FRAME * arrived }
    }

    /// Puts a picture in that is decoded as it arrives.
    fn push(queue: &FrameQueue, picture: Picture) {
        let decoded = picture.arrived;
        queue.push_decoded(picture, decoded);
    }

    const FRAME: Duration = Duration::from_micros(33_333);

    async fn numbers(queue: &CodedQueue) -> Vec<i64> {
        queue.close();
        let mut numbers = Vec::new();
        while let Some(unit) = queue.pop().await {
            numbers.push(unit.timestamp / 3000);
        }
        numbers
    }

    /// The number of the picture that the queue gives out at `now`.
    fn taken(queue: &FrameQueue, now: Instant) -> Option<i64> {
        match queue.next(&mut lock(&queue.state), now) {
            Some(Work::Video(picture)) => Some(picture.frame.timestamp() / 3000),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_decoder_more_than_a_second_behind_skips_to_the_newest_keyframe() {
        let queue = coded(Queueing::Latest);
        let dropped: u64 = (0..50).map(|n| queue.push(unit(n, n % 20 == 0))).sum();
        assert_eq!((dropped, queue.dropped.get()), (40, 40));
        assert_eq!(numbers(&queue).await, (40..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_decoder_whose_pictures_are_all_wanted_skips_nothing() {
        let queue = coded(Queueing::All);
        let dropped: u64 = (0..50).map(|n| queue.push(unit(n, n % 20 == 0))).sum();
        assert_eq!(dropped, 0);
        assert_eq!(numbers(&queue).await, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_queue_without_a_keyframe_waits_for_one() {
        let queue = coded(Queueing::Latest);
        let pushed = MOST_UNITS as i64 + 10;
        let mut dropped: u64 = (0..pushed).map(|n| queue.push(unit(n, n == 0))).sum();
        assert_eq!(dropped, pushed as u64);
        dropped += queue.push(unit(pushed, true));
        dropped += queue.push(unit(pushed + 1, false));
        assert_eq!((dropped, queue.dropped.get()), (pushed as u64, pushed as u64));
        assert_eq!(numbers(&queue).await, [pushed, pushed + 1]);
    }

    #[test]
    fn who_wants_every_picture_gets_them_in_order_up_to_the_bound() {
        let (queue, start) = (decoded(Queueing::All, 3), Instant::now());
        (0..10).for_each(|n| push(&queue, picture(i64::from(n), start, n)));
        let left: Vec<_> = std::iter::from_fn(|| taken(&queue, start + FRAME * 100)).collect();
        assert_eq!((queue.dropped.get(), left), (7, vec![7, 8, 9]));
        queue.close();
        push(&queue, picture(11, start, 11));
        assert_eq!(queue.dropped.get(), 8, "a closed queue takes nothing");
    }

    #[test]
    fn whoever_comes_late_for_live_video_gets_the_newest_picture() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..10).for_each(|n| push(&queue, picture(i64::from(n), start, n)));
        assert_eq!(taken(&queue, start + FRAME * 9), Some(9));
        assert_eq!((taken(&queue, start + FRAME * 9), queue.dropped.get()), (None, 9));
    }

    #[test]
    fn of_a_burst_a_processor_that_keeps_up_gets_every_picture() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..30).for_each(|n| push(&queue, picture(n, start, 0)));
        let worked: Vec<_> = (0..30).map(|n| taken(&queue, start + Duration::from_millis(24) * n)).collect();
        assert_eq!(worked, (0..30).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_burst_a_slower_processor_gets_the_pictures_that_are_due() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..30).for_each(|n| push(&queue, picture(n, start, 0)));
        // Picture n is due after n frames at four thirds of the input's pace.
        let worked: Vec<_> = (0..5).map(|n| taken(&queue, start + FRAME * 3 * n)).collect();
        assert_eq!(worked, [0, 4, 8, 12, 16].map(Some));
    }

    #[tokio::test]
    async fn what_is_discarded_is_counted_and_not_given_out() {
        let (queue, start) = (decoded(Queueing::All, 30), Instant::now());
        (0..10).for_each(|n| push(&queue, picture(i64::from(n), start, n)));
        queue.discard();
        assert!(queue.pop().await.is_none());
        assert_eq!(queue.dropped.get(), 10);
        let units = coded(Queueing::All);
        units.push(unit(0, true));
        units.discard();
        assert!(units.pop().await.is_none());
        assert_eq!(units.dropped.get(), 1);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_end() {
        let queue = decoded(Queueing::Latest, 1);
        let (work, ()) = tokio::join!(queue.pop(), async { queue.close() });
        assert!(work.is_none());
    }
}
