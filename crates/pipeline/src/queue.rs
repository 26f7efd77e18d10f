//! The two queues that a live stream may fall behind in, and what each gives up then.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use cutrickle_codec::VideoCodec;
use cutrickle_frame::{AudioFrame, TICKS_PER_SECOND, VideoFrame};
use tokio::sync::Notify;

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
/// keyframe: to the newest waiting one when more than a second waits, and to the next one that comes when the
/// queue is full without any.
#[derive(Debug)]
pub(crate) struct CodedQueue {
    state: Mutex<CodedState>,
    ready: Notify,
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
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), ready: Notify::new() }
    }

    /// Appends a unit. Returns how many had to go, this one possibly among them.
    pub(crate) fn push(&self, unit: CodedPicture) -> u64 {
        let mut state = lock(&self.state);
        if state.closed || (state.skipping && !unit.keyframe) {
            return 1;
        }
        state.skipping = false;
        let mut dropped = 0;
        let span = state.waiting.front().map_or(0, |first| unit.timestamp.saturating_sub(first.timestamp));
        if unit.keyframe && span > TICKS_PER_SECOND {
            dropped += state.clear();
        }
        state.bytes += unit.data.len();
        state.waiting.push_back(unit);
        if state.waiting.len() > MOST_UNITS || state.bytes > MOST_BYTES {
            dropped += state.clear();
            state.skipping = true;
        }
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

/// Pictures and sound waiting for the processor: pictures are given up oldest first when more wait than may,
/// sound only when ten seconds of it wait. Both come out in the order of their timestamps.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    state: Mutex<FrameState>,
    ready: Notify,
    most_pictures: usize,
}

#[derive(Debug, Default)]
struct FrameState {
    pictures: VecDeque<Picture>,
    sound: VecDeque<AudioFrame>,
    closed: bool,
}

/// Ten seconds in packets of 20 ms.
const MOST_SOUND: usize = 500;

impl FrameQueue {
    pub(crate) fn new(most_pictures: usize) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), most_pictures: most_pictures.max(1) }
    }

    /// Appends a picture. Returns how many had to go for it.
    pub(crate) fn push_picture(&self, picture: Picture) -> u64 {
        let mut state = lock(&self.state);
        if state.closed {
            return 1;
        }
        let mut dropped = 0;
        while state.pictures.len() >= self.most_pictures {
            state.pictures.pop_front();
            dropped += 1;
        }
        state.pictures.push_back(picture);
        drop(state);
        self.ready.notify_one();
        dropped
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

    /// The earliest picture or sound; `None` once the queue is closed and empty. Safe to cancel.
    pub(crate) async fn pop(&self) -> Option<Work> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = lock(&self.state);
                if let Some(work) = state.next() {
                    return Some(work);
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
}

impl FrameState {
    fn next(&mut self) -> Option<Work> {
        let sound_first = match (self.pictures.front(), self.sound.front()) {
            (Some(picture), Some(sound)) => sound.timestamp() <= picture.frame.timestamp(),
            (None, sound) => sound.is_some(),
            (Some(_), None) => false,
        };
        if sound_first {
            self.sound.pop_front().map(Work::Audio)
        } else {
            self.pictures.pop_front().map(Work::Video)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these queues whole: every change to them is one push or pop.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::{Colour, I420};

    use super::*;

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

    fn picture(n: i64) -> Picture {
        let frame = VideoFrame::from_i420(I420::new(2, 2).unwrap(), Colour::BT601, n);
        Picture { frame, arrived: Instant::now() }
    }

    async fn numbers(queue: &CodedQueue) -> Vec<i64> {
        queue.close();
        let mut numbers = Vec::new();
        while let Some(unit) = queue.pop().await {
            numbers.push(unit.timestamp / 3000);
        }
        numbers
    }

    #[tokio::test]
    async fn a_decoder_more_than_a_second_behind_skips_to_the_newest_keyframe() {
        let queue = CodedQueue::new();
        let dropped: u64 = (0..50).map(|n| queue.push(unit(n, n % 20 == 0))).sum();
        assert_eq!(dropped, 40);
        assert_eq!(numbers(&queue).await, (40..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_queue_without_a_keyframe_waits_for_one() {
        let queue = CodedQueue::new();
        let pushed = MOST_UNITS as i64 + 10;
        let mut dropped: u64 = (0..pushed).map(|n| queue.push(unit(n, n == 0))).sum();
        assert_eq!(dropped, pushed as u64);
        dropped += queue.push(unit(pushed, true));
        dropped += queue.push(unit(pushed + 1, false));
        assert_eq!(dropped, pushed as u64);
        assert_eq!(numbers(&queue).await, [pushed, pushed + 1]);
    }

    #[tokio::test]
    async fn the_oldest_picture_goes_never_the_newest() {
        let queue = FrameQueue::new(3);
        let dropped: u64 = (0..10).map(|n| queue.push_picture(picture(n))).sum();
        queue.close();
        let mut left = Vec::new();
        while let Some(Work::Video(picture)) = queue.pop().await {
            left.push(picture.frame.timestamp());
        }
        assert_eq!((dropped, left), (7, vec![7, 8, 9]));
        assert_eq!(queue.push_picture(picture(11)), 1, "a closed queue takes nothing");
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_end() {
        let queue = FrameQueue::new(1);
        let (work, ()) = tokio::join!(queue.pop(), async { queue.close() });
        assert!(work.is_none());
    }
}
