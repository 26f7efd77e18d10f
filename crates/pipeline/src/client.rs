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

/// Frames out of a source, and into a sink: a stream with the caller in the processor's place. Audio goes from one to the
/// other untouched.
///
/// Dropping it, or [`close`](Self::close), ends both sides in order.
#[derive(Debug)]
pub struct Client {
    stream: Arc<Stream>,
    items: Option<mpsc::Sender<Item>>,
    frames: Option<VideoFrames>,
}

/// The frames of a [`Client`], in order, as a `Stream`. When they are taken too slowly, those that wait are dropped as [`StreamOptions::queueing`] says, and counted.
pub struct VideoFrames {
    /// None once the input has ended.
    source: Option<Arc<Source>>,
    /// A frame that was asked for and is not there yet.
    taking: Option<Taking>,
}

/// Boxed, since a stream has to keep what it waits for: one small allocation a frame.
type Taking = Pin<Box<dyn Future<Output = Option<VideoFrame>> + Send + Sync>>;

/// Where frames come from.
struct Source {
    stream: Arc<Stream>,
    queue: Arc<FrameQueue>,
}

impl Client {
    /// A client between `ends`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: neither a source nor a sink. Otherwise a thread that could not be started.
    pub fn open(ends: Ends, options: StreamOptions) -> Result<Self, Error> {
        let registry = MetricsRegistry::new().map_err(|e| Error::failed("metrics").because(e))?;
        // Nobody but the caller touches video, and nobody touches audio.
        let Parts { stream, threads, tasks, frames, items } =
            Parts::start("client".into(), Params::new(), ends, options, &registry, Vec::new(), false)?;
        supervise(&stream, threads, tasks);
        let frames = Some(VideoFrames::of(&stream, frames));
        Ok(Self { stream, items: Some(items), frames })
    }

    /// The frames that come in. There is one such stream; a second call gives an ended one.
    pub fn video_frames(&mut self) -> VideoFrames {
        self.frames.take().unwrap_or(VideoFrames { source: None, taking: None })
    }

    /// Sends a frame. Waits while the encoder is busy.
    ///
    /// # Errors
    /// The client was closed, or its output has ended.
    pub async fn publish_video_frame(&self, frame: VideoFrame) -> Result<(), Error> {
        let item = Item::Video(frame.of(Origin::now()));
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

impl Drop for Client {
    fn drop(&mut self) {
        self.stream.stop(EndReason::Stopped);
    }
}

impl VideoFrames {
    fn of(stream: &Arc<Stream>, queue: Arc<FrameQueue>) -> Self {
        Self { source: Some(Arc::new(Source { stream: Arc::clone(stream), queue })), taking: None }
    }

    /// The next frame; `None` when the input has ended.
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
        // Frames that nobody will take are dropped as they come, and counted.
        self.queue.discard();
    }
}
