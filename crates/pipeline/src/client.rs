//! Direct connections to trickle channels, without the REST layer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use cutrickle_frame::VideoFrame;
use futures_core::Stream as FuturesStream;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::queue::Work;
use crate::session::{Parts, StreamRequest, supervise};
use crate::stream::Stream;
use crate::{EndReason, Error, MetricsRegistry, Queueing, StreamOptions, StreamStatus};

/// Frames out of one channel, and into another: a stream with the caller in the processor's place. Sound passes by
/// untouched.
///
/// Dropping it, or [`close`](Self::close), ends both sides in order.
#[derive(Debug)]
pub struct TrickleClient {
    stream: Arc<Stream>,
    items: Option<mpsc::Sender<Item>>,
    frames: Option<VideoFrames>,
}

/// The pictures of a [`TrickleClient`], in order, as a `Stream`. When they are taken too slowly, the oldest waiting one
/// is dropped, and counted: one waits with [`Queueing::Latest`], and up to [`StreamOptions::max_queue_size`] with
/// [`Queueing::All`]. Sound goes on meanwhile.
#[derive(Debug)]
pub struct VideoFrames(Arc<Waiting>);

impl TrickleClient {
    /// A client that reads from `subscribe_url` and writes to `publish_url`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: a malformed URL.
    pub fn connect(subscribe_url: &str, publish_url: &str) -> Result<Self, Error> {
        Self::connect_with(Some(subscribe_url), Some(publish_url), StreamOptions::default())
    }

    /// The same with either side left out, and with options.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: a malformed URL, or none at all.
    pub fn connect_with(
        subscribe_url: Option<&str>,
        publish_url: Option<&str>,
        options: StreamOptions,
    ) -> Result<Self, Error> {
        let registry = MetricsRegistry::new().map_err(|e| Error::failed("metrics").because(e))?;
        let request = StreamRequest {
            id: "client".into(),
            subscribe_url: subscribe_url.map(Into::into),
            publish_url: publish_url.map(Into::into),
            ..StreamRequest::default()
        };
        let Parts { stream, threads, tasks, frames: queue, items } =
            Parts::start(request, options, &registry, Vec::new())?;
        let waiting = Arc::new(Waiting::new(match stream.options.queueing {
            Queueing::Latest => 1,
            Queueing::All => stream.options.max_queue_size,
        }));
        let pictures = EndOnDrop(Arc::clone(&waiting));
        let (shared, sound) = (Arc::clone(&stream), items.clone());
        tokio::spawn(async move {
            while let Some(work) = queue.pop().await {
                match work {
                    Work::Video(picture) => {
                        shared.recorder.processed.add(1);
                        shared.recorder.dropped.add(pictures.0.push(picture.frame));
                    }
                    Work::Audio(frame) => {
                        if sound.send(Item::Audio(frame)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        supervise(&stream, threads, tasks);
        Ok(Self { stream, items: Some(items), frames: Some(VideoFrames(waiting)) })
    }

    /// The pictures that come in. There is one such stream; a second call gives an ended one.
    pub fn video_frames(&mut self) -> VideoFrames {
        self.frames.take().unwrap_or_else(|| {
            let ended = Arc::new(Waiting::new(1));
            ended.end();
            VideoFrames(ended)
        })
    }

    /// Sends a picture. Waits while the encoder is busy.
    ///
    /// # Errors
    /// The client was closed, or its output has ended.
    pub async fn publish_video_frame(&self, frame: VideoFrame) -> Result<(), Error> {
        let item = Item::Video { frame, arrived: Instant::now() };
        match &self.items {
            Some(items) => items.send(item).await.map_err(|_| Error::failed("the output has ended")),
            None => Err(Error::failed("the client was closed")),
        }
    }

    /// How the two sides are doing.
    pub fn status(&self) -> StreamStatus {
        self.stream.status()
    }

    /// Ends both sides in order: what was published is flushed, and its channel closed.
    pub async fn close(mut self) {
        self.items = None;
        self.frames = None;
        self.stream.stop(EndReason::Stopped);
        self.stream.ended().await;
    }
}

impl Drop for TrickleClient {
    fn drop(&mut self) {
        self.stream.stop(EndReason::Stopped);
    }
}

impl VideoFrames {
    /// The next picture; `None` when the input has ended.
    pub async fn next(&mut self) -> Option<VideoFrame> {
        poll_fn(|cx| self.0.poll(cx)).await
    }
}

impl FuturesStream for VideoFrames {
    type Item = VideoFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<VideoFrame>> {
        self.0.poll(cx)
    }
}

impl Drop for VideoFrames {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Pictures that wait for the caller: a queue whose oldest goes where it is full.
#[derive(Debug)]
struct Waiting {
    state: Mutex<Pictures>,
    most: usize,
}

#[derive(Debug, Default)]
struct Pictures {
    waiting: VecDeque<VideoFrame>,
    reader: Option<Waker>,
    /// No more will come.
    ended: bool,
    /// Nobody will take any.
    abandoned: bool,
}

impl Waiting {
    fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most: most.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, Pictures> {
        // Every change is whole: a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a picture. Returns how many had to go, this one where nobody will take it.
    fn push(&self, frame: VideoFrame) -> u64 {
        let mut state = self.state();
        if state.abandoned {
            return 1;
        }
        let full = state.waiting.len() >= self.most;
        let oldest = if full { state.waiting.pop_front() } else { None };
        state.waiting.push_back(frame);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        u64::from(oldest.is_some())
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<VideoFrame>> {
        let mut state = self.state();
        match state.waiting.pop_front() {
            None if !state.ended => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }

    /// No more will come; what waits can still be taken.
    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

/// Also where the task is cut off, so that a caller who waits is let go.
struct EndOnDrop(Arc<Waiting>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::{Colour, I420};

    use super::*;

    fn picture(n: i64) -> VideoFrame {
        VideoFrame::from_i420(I420::new(2, 2).unwrap(), Colour::BT601, n)
    }

    #[tokio::test]
    async fn the_oldest_waiting_picture_goes_and_is_counted() {
        let waiting = Arc::new(Waiting::new(2));
        let mut frames = VideoFrames(Arc::clone(&waiting));
        assert_eq!((0..5).map(|n| waiting.push(picture(n))).sum::<u64>(), 3);
        waiting.end();
        let mut left = Vec::new();
        while let Some(frame) = frames.next().await {
            left.push(frame.timestamp());
        }
        assert_eq!(left, [3, 4]);
        drop(frames);
        assert_eq!(waiting.push(picture(9)), 1, "nobody will take it");
    }

    #[tokio::test]
    async fn a_waiting_caller_gets_the_picture_that_comes_and_the_end() {
        let waiting = Arc::new(Waiting::new(1));
        let mut frames = VideoFrames(Arc::clone(&waiting));
        let (got, _) = tokio::join!(frames.next(), async { waiting.push(picture(7)) });
        assert_eq!(got.map(|frame| frame.timestamp()), Some(7));
        let (got, ()) = tokio::join!(frames.next(), async { drop(EndOnDrop(waiting)) });
        assert!(got.is_none());
    }
}
