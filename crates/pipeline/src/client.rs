//! Direct connections to trickle channels, without the REST layer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cutrickle_frame::VideoFrame;
use futures_core::Stream as FuturesStream;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::queue::Work;
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

/// The pictures of a [`TrickleClient`], in order, as a `Stream`. When they are taken too slowly, the oldest waiting one
/// is dropped, and counted.
#[derive(Debug)]
pub struct VideoFrames(mpsc::Receiver<VideoFrame>);

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
        let (pictures, frames) = mpsc::channel(1);
        let (shared, sound) = (Arc::clone(&stream), items.clone());
        tokio::spawn(async move {
            while let Some(work) = queue.pop().await {
                let taken = match work {
                    Work::Video(picture) => {
                        shared.recorder.processed.add(1);
                        pictures.send(picture.frame).await.is_ok()
                    }
                    Work::Audio(frame) => sound.send(Item::Audio(frame)).await.is_ok(),
                };
                if !taken {
                    return;
                }
            }
        });
        supervise(&stream, threads, tasks);
        Ok(Self { stream, items: Some(items), frames: Some(VideoFrames(frames)) })
    }

    /// The pictures that come in. There is one such stream; a second call gives an ended one.
    pub fn video_frames(&mut self) -> VideoFrames {
        self.frames.take().unwrap_or_else(|| VideoFrames(mpsc::channel(1).1))
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
        self.0.recv().await
    }
}

impl FuturesStream for VideoFrames {
    type Item = VideoFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<VideoFrame>> {
        self.0.poll_recv(cx)
    }
}
