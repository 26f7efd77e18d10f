//! Direct connections to trickle channels, without the REST layer.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cutrickle_frame::VideoFrame;
use futures_core::Stream as FuturesStream;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::queue::{FrameQueue, Picture, Work};
use crate::session::{Parts, StreamRequest, supervise};
use crate::stream::Stream;
use crate::{EndReason, Error, MetricsRegistry, StreamOptions, StreamStatus};

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

/// The pictures of a [`TrickleClient`], in order, as a `Stream`. When they are taken too slowly, those that wait are
/// dropped as [`StreamOptions::queueing`] says, and counted.
pub struct VideoFrames {
    /// None once the input has ended.
    source: Option<Arc<Source>>,
    /// A picture that was asked for and is not there yet.
    taking: Option<Taking>,
}

/// Boxed, since a stream has to keep what it waits for: one small allocation a picture.
type Taking = Pin<Box<dyn Future<Output = Option<VideoFrame>> + Send + Sync>>;

/// Where pictures come from.
struct Source {
    stream: Arc<Stream>,
    queue: Arc<FrameQueue>,
}

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
        // Nobody but the caller touches pictures, and nobody touches sound.
        let Parts { stream, threads, tasks, frames, items } =
            Parts::start(request, options, &registry, Vec::new(), false)?;
        supervise(&stream, threads, tasks);
        let frames = Some(VideoFrames::of(&stream, frames));
        Ok(Self { stream, items: Some(items), frames })
    }

    /// The pictures that come in. There is one such stream; a second call gives an ended one.
    pub fn video_frames(&mut self) -> VideoFrames {
        self.frames.take().unwrap_or(VideoFrames { source: None, taking: None })
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
    fn of(stream: &Arc<Stream>, queue: Arc<FrameQueue>) -> Self {
        Self { source: Some(Arc::new(Source { stream: Arc::clone(stream), queue })), taking: None }
    }

    /// The next picture; `None` when the input has ended.
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
            if let Work::Video(Picture { frame, arrived }) = self.queue.pop().await? {
                self.stream.recorder.processed.add(1);
                self.stream.recorder.wait.observe(arrived.elapsed().as_secs_f64());
                return Some(frame);
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Pictures that nobody will take are dropped as they come, and counted.
        self.queue.discard();
    }
}
