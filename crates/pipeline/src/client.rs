//! A stream with the caller in the processor's place.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cutrickle_frame::{Origin, VideoFrame};
use futures_core::Stream as FuturesStream;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::ends::Ends;
use crate::queue::{FrameQueue, Work};
use crate::session::{Parts, supervise};
use crate::stream::Stream;
use crate::{EndReason, Error, MetricsRegistry, Params, StreamOptions, StreamStatus};

/// A stream in which the caller takes the processor's place: it receives the frames of a source and sends
/// frames to a sink. Audio passes from one to the other untouched.
///
/// Dropping the client or calling [`close`](Self::close) ends both sides in order.
#[derive(Debug)]
pub struct Client {
    stream: Arc<Stream>,
    items: Option<mpsc::Sender<Item>>,
    frames: Option<VideoFrames>,
}

/// The frames of a [`Client`], in order, as a `Stream`. If they are consumed too slowly, waiting frames are
/// dropped according to [`StreamOptions::queueing`], and counted.
pub struct VideoFrames {
    /// `None` once the input has ended.
    source: Option<Arc<Source>>,
    /// The pending request for the next frame.
    taking: Option<Taking>,
}

/// Boxed because a stream must store the future it waits for; this is one small allocation per frame.
type Taking = Pin<Box<dyn Future<Output = Option<VideoFrame>> + Send + Sync>>;

/// The source of the frames.
struct Source {
    stream: Arc<Stream>,
    queue: Arc<FrameQueue>,
}

impl Client {
    /// Opens a client between `ends`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if there is neither a source nor a sink. Also fails if a thread cannot be
    /// started.
    pub fn open(ends: Ends, options: StreamOptions) -> Result<Self, Error> {
        let registry = MetricsRegistry::new().map_err(|e| Error::failed("metrics").because(e))?;
        // Only the caller processes video, and audio is passed through.
        let Parts { stream, threads, tasks, frames, items } =
            Parts::start("client".into(), Params::new(), ends, options, &registry, Vec::new(), false)?;
        supervise(&stream, threads, tasks);
        let frames = Some(VideoFrames::of(&stream, frames));
        Ok(Self { stream, items: Some(items), frames })
    }

    /// The frames of the input. They can be taken once; a second call returns a stream that has ended.
    pub fn video_frames(&mut self) -> VideoFrames {
        self.frames.take().unwrap_or(VideoFrames { source: None, taking: None })
    }

    /// Sends a frame, and waits while the encoder is busy.
    ///
    /// # Errors
    /// Fails if the client was closed or its output has ended.
    pub async fn publish_video_frame(&self, frame: VideoFrame) -> Result<(), Error> {
        let item = Item::Video(frame.of(Origin::now()));
        match &self.items {
            Some(items) => items.send(item).await.map_err(|_| Error::failed("the output has ended")),
            None => Err(Error::failed("the client was closed")),
        }
    }

    /// The status of both sides.
    pub fn status(&self) -> StreamStatus {
        self.stream.status()
    }

    /// Closes both sides in order: flushes what was published, then closes its channel.
    pub async fn close(mut self) {
        self.items = None;
        self.frames = None;
        self.stream.stop(EndReason::Stopped);
        self.stream.ended().await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stream.stop(EndReason::Stopped);
    }
}

impl VideoFrames {
    fn of(stream: &Arc<Stream>, queue: Arc<FrameQueue>) -> Self {
        Self { source: Some(Arc::new(Source { stream: Arc::clone(stream), queue })), taking: None }
    }

    /// Returns the next frame, or `None` when the input has ended.
    pub async fn next(&mut self) -> Option<VideoFrame> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl FuturesStream for VideoFrames {
    type Item = VideoFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<VideoFrame>> {
        let Some(source) = self.source.clone() else { return Poll::Ready(None) };
        let mut taking = self.taking.take().unwrap_or_else(|| Box::pin(source.take()));
        let taken = taking.as_mut().poll(cx);
        match &taken {
            Poll::Pending => self.taking = Some(taking),
            Poll::Ready(None) => self.source = None,
            Poll::Ready(Some(_)) => {}
        }
        taken
    }
}

impl fmt::Debug for VideoFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoFrames").field("ended", &self.source.is_none()).finish_non_exhaustive()
    }
}

impl Source {
    async fn take(self: Arc<Self>) -> Option<VideoFrame> {
        loop {
            if let Work::Video(frame) = self.queue.pop().await? {
                self.stream.recorder.counts.frames_processed.add(1);
                self.stream.recorder.wait.observe(frame.arrived().elapsed().as_secs_f64());
                return Some(frame);
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Frames that nobody will take are dropped as they arrive, and counted.
        self.queue.discard();
    }
}
