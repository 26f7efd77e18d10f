//! The two queues in which a live stream may fall behind. What counts as late is decided in `lateness`. In a
//! lossless stream, producers wait instead.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cutrickle_frame::{AudioFrame, Origin, VideoFrame};
use cutrickle_media::AccessUnit;
use tokio::sync::Notify;

use crate::lateness::{Lateness, Schedule};
use crate::metrics::Counter;

/// Access units waiting for the decoder. Units depend on one another, so a decoder that is behind skips to a
/// keyframe: to one that arrives when the backlog is too long, or, if the queue fills up without a keyframe,
/// to the next one that arrives.
#[derive(Debug)]
pub(crate) struct CodedQueue {
    state: Mutex<CodedState>,
    ready: Notify,
    /// Notified of each unit taken out.
    room: Notify,
    lateness: Lateness,
    /// Units that were dropped.
    dropped: Counter,
}

#[derive(Debug, Default)]
struct CodedState {
    waiting: VecDeque<(AccessUnit, Origin)>,
    bytes: usize,
    /// Whether to drop everything up to the next keyframe.
    skipping: bool,
    closed: bool,
}

/// Five seconds at 60 frames per second.
const MAX_UNITS: usize = 300;
const MAX_BYTES: usize = 32 << 20;
/// Enough waiting units in a lossless stream that the decoder never waits for the source.
const MAX_LOSSLESS_UNITS: usize = 8;

impl CodedQueue {
    pub(crate) fn new(lateness: Lateness, dropped: Counter) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), room: Notify::new(), lateness, dropped }
    }

    /// Appends a unit and returns how many were dropped, possibly including this one. Waits only in a
    /// lossless stream.
    pub(crate) async fn push(&self, unit: AccessUnit, origin: Origin) -> u64 {
        if self.lateness.is_lossless() {
            self.has_room().await;
        }
        self.push_now(unit, origin)
    }

    async fn has_room(&self) {
        loop {
            let room = self.room.notified();
            {
                let state = lock(&self.state);
                if state.closed || state.waiting.len() < MAX_LOSSLESS_UNITS {
                    return;
                }
            }
            room.await;
        }
    }

    fn push_now(&self, unit: AccessUnit, origin: Origin) -> u64 {
        let mut state = lock(&self.state);
        let mut dropped = 0;
        if state.closed || (state.skipping && !unit.keyframe) {
            dropped += 1;
        } else {
            state.skipping = false;
            let first = state.waiting.front().map_or(unit.pts, |(first, _)| first.pts);
            if unit.keyframe && self.lateness.is_behind(unit.pts - first) {
                dropped += state.clear();
            }
            state.bytes += unit.data.len();
            state.waiting.push_back((unit, origin));
            if state.waiting.len() > MAX_UNITS || state.bytes > MAX_BYTES {
                dropped += state.clear();
                state.skipping = true;
            }
        }
        self.dropped.add(dropped);
        drop(state);
        self.ready.notify_one();
        dropped
    }

    /// Returns the oldest unit, or `None` once the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<(AccessUnit, Origin)> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = lock(&self.state);
                if let Some((unit, origin)) = state.waiting.pop_front() {
                    state.bytes -= unit.data.len();
                    drop(state);
                    self.room.notify_one();
                    return Some((unit, origin));
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// Closes the queue; waiting units can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// Closes the queue and drops the waiting units.
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

/// The next item for a processor.
#[derive(Debug)]
pub(crate) enum Work {
    Video(VideoFrame),
    Audio(AudioFrame),
}

/// Frames and audio waiting for the processor. In live video, a frame is dropped when the next one is due; in
/// every stream, the oldest frame is dropped when too many are waiting. Audio is dropped only beyond ten
/// seconds. Frames and audio come out in the order of their timestamps. In a lossless stream, producers wait
/// instead.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    state: Mutex<FrameState>,
    ready: Notify,
    /// Notified of each frame or packet taken out.
    room: Notify,
    lateness: Lateness,
    max_frames: usize,
    /// Frames that were dropped.
    dropped: Counter,
}

#[derive(Debug, Default)]
struct FrameState {
    /// Each with the time from which it replaces the previous frame.
    frames: VecDeque<(Instant, VideoFrame)>,
    schedule: Schedule,
    audio: VecDeque<AudioFrame>,
    closed: bool,
}

/// Ten seconds in packets of 20 ms.
const MAX_AUDIO: usize = 500;

impl FrameQueue {
    pub(crate) fn new(lateness: Lateness, max_frames: usize, dropped: Counter) -> Self {
        let (state, max_frames) = (Mutex::default(), max_frames.max(1));
        Self { state, ready: Notify::new(), room: Notify::new(), lateness, max_frames, dropped }
    }

    /// Appends a frame that was just decoded. Waits only in a lossless stream.
    pub(crate) async fn push_video(&self, frame: VideoFrame) {
        self.wait_for(|state| state.frames.len() < self.max_frames).await;
        self.push_decoded(frame, Instant::now());
    }

    fn push_decoded(&self, frame: VideoFrame, decoded: Instant) {
        let mut state = lock(&self.state);
        if state.closed {
            return self.dropped.add(1);
        }
        while state.frames.len() >= self.max_frames {
            state.frames.pop_front();
            self.dropped.add(1);
        }
        let due = state.schedule.due(frame.timestamp(), frame.arrived(), decoded, &self.lateness);
        state.frames.push_back((due, frame));
        drop(state);
        self.ready.notify_one();
    }

    /// Appends audio and returns how many packets were dropped for it. Waits only in a lossless stream.
    pub(crate) async fn push_audio(&self, frame: AudioFrame) -> u64 {
        self.wait_for(|state| state.audio.len() < MAX_AUDIO).await;
        let mut state = lock(&self.state);
        if state.closed {
            return 1;
        }
        let full = state.audio.len() >= MAX_AUDIO;
        if full {
            state.audio.pop_front();
        }
        state.audio.push_back(frame);
        drop(state);
        self.ready.notify_one();
        u64::from(full)
    }

    /// Waits until there is room, unless the oldest item makes room.
    async fn wait_for(&self, has_room: impl Fn(&FrameState) -> bool) {
        while self.lateness.is_lossless() {
            let room = self.room.notified();
            {
                let state = lock(&self.state);
                if state.closed || has_room(&state) {
                    return;
                }
            }
            room.await;
        }
    }

    /// Returns the next frame or audio, or `None` once the queue is closed and empty. Cancel safe.
    pub(crate) async fn pop(&self) -> Option<Work> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = lock(&self.state);
                if let Some(work) = self.next(&mut state, Instant::now()) {
                    drop(state);
                    // Both the decoder and the source may be waiting.
                    self.room.notify_waiters();
                    return Some(work);
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// Returns the earliest item at `now`, after dropping frames whose successor is due.
    fn next(&self, state: &mut FrameState, now: Instant) -> Option<Work> {
        while self.lateness.is_live() && state.frames.get(1).is_some_and(|(due, _)| *due <= now) {
            state.frames.pop_front();
            self.dropped.add(1);
        }
        state.next()
    }

    /// Closes the queue; waiting items can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// Closes the queue and drops the waiting items.
    pub(crate) fn discard(&self) {
        let mut state = lock(&self.state);
        self.dropped.add(state.frames.len() as u64);
        state.frames.clear();
        state.audio.clear();
        drop(state);
        self.close();
    }
}

impl FrameState {
    fn next(&mut self) -> Option<Work> {
        let audio_first = match (self.frames.front(), self.audio.front()) {
            (Some((_, frame)), Some(audio)) => audio.timestamp() <= frame.timestamp(),
            (None, audio) => audio.is_some(),
            (Some(_), None) => false,
        };
        if audio_first {
            self.audio.pop_front().map(Work::Audio)
        } else {
            self.frames.pop_front().map(|(_, frame)| Work::Video(frame))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these queues consistent, because every change is a single push or pop.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use cutrickle_frame::I420;
    use cutrickle_media::{Colour, Timestamp, VideoCodec};

    use super::*;
    use crate::{Queueing, StreamOptions};

    /// Pushes unit `n` of 30 per second; returns how many were dropped.
    fn push_unit(queue: &CodedQueue, n: i64, keyframe: bool) -> u64 {
        let (at, data) = (Timestamp::from_ticks(n * 3000), Bytes::from_static(b"unit"));
        queue.push_now(AccessUnit::new(VideoCodec::H264, at, keyframe, data), Origin::now())
    }

    fn lateness(queueing: Queueing) -> Lateness {
        Lateness::of(&StreamOptions { queueing, ..StreamOptions::default() })
    }

    fn coded(queueing: Queueing) -> CodedQueue {
        CodedQueue::new(lateness(queueing), Counter::default())
    }

    fn decoded(queueing: Queueing, max_frames: usize) -> FrameQueue {
        FrameQueue::new(lateness(queueing), max_frames, Counter::default())
    }

    /// Frame `n` of 30 per second, which arrived `arrived` thirtieths of a second after `start`.
    fn frame(n: i64, start: Instant, arrived: u32) -> VideoFrame {
        let (picture, at) = (I420::new(2, 2).unwrap(), Timestamp::from_ticks(n * 3000));
        VideoFrame::from_i420(picture, Colour::BT601, at).of(Origin::arrived_at(start + FRAME * arrived))
    }

    /// Pushes a frame that is decoded as it arrives.
    fn push(queue: &FrameQueue, frame: VideoFrame) {
        let decoded = frame.arrived();
        queue.push_decoded(frame, decoded);
    }

    const FRAME: Duration = Duration::from_nanos(33_333_333);

    async fn numbers(queue: &CodedQueue) -> Vec<i64> {
        queue.close();
        let mut numbers = Vec::new();
        while let Some((unit, _)) = queue.pop().await {
            numbers.push(unit.pts.ticks() / 3000);
        }
        numbers
    }

    /// The number of the frame that the queue returns at `now`.
    fn taken(queue: &FrameQueue, now: Instant) -> Option<i64> {
        match queue.next(&mut lock(&queue.state), now) {
            Some(Work::Video(frame)) => Some(frame.timestamp().ticks() / 3000),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_decoder_more_than_a_second_behind_skips_to_the_newest_keyframe() {
        let queue = coded(Queueing::Latest);
        let dropped: u64 = (0..50).map(|n| push_unit(&queue, n, n % 20 == 0)).sum();
        assert_eq!((dropped, queue.dropped.get()), (40, 40));
        assert_eq!(numbers(&queue).await, (40..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_decoder_whose_pictures_are_all_wanted_skips_nothing() {
        let queue = coded(Queueing::All);
        let dropped: u64 = (0..50).map(|n| push_unit(&queue, n, n % 20 == 0)).sum();
        assert_eq!(dropped, 0);
        assert_eq!(numbers(&queue).await, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_queue_without_a_keyframe_waits_for_one() {
        let queue = coded(Queueing::Latest);
        let pushed = MAX_UNITS as i64 + 10;
        let mut dropped: u64 = (0..pushed).map(|n| push_unit(&queue, n, n == 0)).sum();
        assert_eq!(dropped, pushed as u64);
        dropped += push_unit(&queue, pushed, true);
        dropped += push_unit(&queue, pushed + 1, false);
        assert_eq!((dropped, queue.dropped.get()), (pushed as u64, pushed as u64));
        assert_eq!(numbers(&queue).await, [pushed, pushed + 1]);
    }

    #[test]
    fn who_wants_every_picture_gets_them_in_order_up_to_the_bound() {
        let (queue, start) = (decoded(Queueing::All, 3), Instant::now());
        (0..10).for_each(|n| push(&queue, frame(i64::from(n), start, n)));
        let left: Vec<_> = std::iter::from_fn(|| taken(&queue, start + FRAME * 100)).collect();
        assert_eq!((queue.dropped.get(), left), (7, vec![7, 8, 9]));
        queue.close();
        push(&queue, frame(11, start, 11));
        assert_eq!(queue.dropped.get(), 8, "a closed queue takes nothing");
    }

    #[test]
    fn whoever_comes_late_for_live_video_gets_the_newest_picture() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..10).for_each(|n| push(&queue, frame(i64::from(n), start, n)));
        assert_eq!(taken(&queue, start + FRAME * 9), Some(9));
        assert_eq!((taken(&queue, start + FRAME * 9), queue.dropped.get()), (None, 9));
    }

    #[test]
    fn of_a_burst_a_processor_that_keeps_up_gets_every_picture() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..30).for_each(|n| push(&queue, frame(n, start, 0)));
        let worked: Vec<_> = (0..30).map(|n| taken(&queue, start + Duration::from_millis(24) * n)).collect();
        assert_eq!(worked, (0..30).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_burst_a_slower_processor_gets_the_pictures_that_are_due() {
        let (queue, start) = (decoded(Queueing::Latest, 30), Instant::now());
        (0..30).for_each(|n| push(&queue, frame(n, start, 0)));
        // Frame n is due after n frames at four thirds of the input's pace.
        let worked: Vec<_> = (0..5).map(|n| taken(&queue, start + FRAME * 3 * n)).collect();
        assert_eq!(worked, [0, 4, 8, 12, 16].map(Some));
    }

    #[tokio::test]
    async fn what_is_discarded_is_counted_and_not_given_out() {
        let (queue, start) = (decoded(Queueing::All, 30), Instant::now());
        (0..10).for_each(|n| push(&queue, frame(i64::from(n), start, n)));
        queue.discard();
        assert!(queue.pop().await.is_none());
        assert_eq!(queue.dropped.get(), 10);
        let units = coded(Queueing::All);
        push_unit(&units, 0, true);
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

    #[tokio::test]
    async fn where_nothing_is_lost_whoever_brings_more_waits() {
        let (queue, start) = (decoded(Queueing::Lossless, 2), Instant::now());
        let fill = async {
            for n in 0..10 {
                queue.push_video(frame(n, start, 0)).await;
            }
            queue.close();
        };
        let drain = async {
            let mut numbers = Vec::new();
            while let Some(Work::Video(frame)) = queue.pop().await {
                assert!(lock(&queue.state).frames.len() < 2);
                numbers.push(frame.timestamp().ticks() / 3000);
            }
            numbers
        };
        let ((), numbers) = tokio::join!(fill, drain);
        assert_eq!((numbers, queue.dropped.get()), ((0..10).collect(), 0));
        let units = coded(Queueing::Lossless);
        let fill = async {
            for n in 0..50 {
                let (at, data) = (Timestamp::from_ticks(n * 3000), Bytes::from_static(b"unit"));
                units.push(AccessUnit::new(VideoCodec::H264, at, n == 0, data), Origin::now()).await;
            }
            units.close();
        };
        let ((), numbers) = tokio::join!(fill, async {
            let mut numbers = Vec::new();
            while let Some((unit, _)) = units.pop().await {
                numbers.push(unit.pts.ticks() / 3000);
            }
            numbers
        });
        assert_eq!((numbers, units.dropped.get()), ((0..50).collect(), 0));
    }
}
