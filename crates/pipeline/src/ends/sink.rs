//! The sink of a stream's media, and the bounded queue that leads to it.

use std::future::Future;
use std::sync::Arc;

use cutrickle_media::{AccessUnit, Tracks};
use tokio::sync::mpsc;

use super::{Channel, Outlet, SinkEnd};
use crate::stream::Stream;
use crate::{Queueing, Result};

/// A sink for the media of a stream: a publication, a file, a player.
///
/// `run` ends with the output, when [`Output::next`] returns `None`. An error ends the stream, with its
/// output as the cause. What has not been taken by then is counted as dropped.
pub trait Sink: Send + 'static {
    /// Consumes all of `output`.
    fn run(self, output: Output) -> impl Future<Output = Result<SinkEnd>> + Send;
}

/// An item of a stream's output, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Coded {
    /// A segment begins, with these tracks. Its first unit is an IDR frame with its parameter sets, unless it
    /// has no video track: audio-only segments are made while video pauses.
    Segment(Tracks),
    /// The next unit. The timestamps of each track increase, and video has no B-frames.
    Unit(AccessUnit),
}

/// The number of chunks between the encoder and the sink: one per frame and one per audio packet, about two
/// seconds.
pub(crate) const MAX_CHUNKS: usize = 160;

/// What is sent to the sink in one piece.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    segment: Option<Tracks>,
    unit: Option<AccessUnit>,
    /// Audio that waited for its segment. Nearly always empty, and then without an allocation.
    more: std::vec::IntoIter<AccessUnit>,
}

impl Chunk {
    /// Starts a segment.
    pub(crate) fn segment(tracks: Tracks) -> Self {
        Self { segment: Some(tracks), ..Self::default() }
    }

    pub(crate) fn with_unit(self, unit: AccessUnit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    pub(crate) fn units(units: Vec<AccessUnit>) -> Self {
        Self { more: units.into_iter(), ..Self::default() }
    }

    fn bytes(&self) -> u64 {
        self.unit.iter().chain(self.more.as_slice()).map(|unit| unit.data.len() as u64).sum()
    }

    fn next(&mut self) -> Option<Coded> {
        let segment = self.segment.take().map(Coded::Segment);
        segment.or_else(|| self.unit.take().or_else(|| self.more.next()).map(Coded::Unit))
    }
}

/// The encoding thread's end of the queue. If the sink lags, a live stream drops the rest of the segment,
/// because a segment with a gap is worth less than a short one. A lossless stream waits.
#[derive(Debug)]
pub(crate) struct Chunks {
    stream: Arc<Stream>,
    sender: mpsc::Sender<Chunk>,
    dropping: bool,
}

impl Chunks {
    pub(crate) fn new(stream: &Arc<Stream>) -> (Self, Output) {
        let (sender, receiver) = mpsc::channel(MAX_CHUNKS);
        let outlet = Outlet { stream: Arc::clone(stream), channel: Channel::Output };
        let output = Output { outlet, receiver, chunk: Chunk::default() };
        (Self { stream: Arc::clone(stream), sender, dropping: false }, output)
    }

    /// Sends a chunk. Must be called on a thread that may block.
    pub(crate) fn send(&mut self, chunk: Chunk) {
        if self.stream.options.queueing == Queueing::Lossless {
            if let Err(mpsc::error::SendError(chunk)) = self.sender.blocking_send(chunk) {
                self.drop(&chunk);
            }
            return;
        }
        if self.dropping && chunk.segment.is_none() {
            return self.drop(&chunk);
        }
        self.dropping = false;
        if let Err(e) = self.sender.try_send(chunk) {
            let (mpsc::error::TrySendError::Full(chunk) | mpsc::error::TrySendError::Closed(chunk)) = e;
            self.dropping = true;
            self.drop(&chunk);
        }
    }

    fn drop(&self, chunk: &Chunk) {
        self.stream.recorder.counts.output_bytes_dropped.add(chunk.bytes());
    }
}

/// The output of a stream, for its [`Sink`].
#[derive(Debug)]
pub struct Output {
    outlet: Outlet,
    receiver: mpsc::Receiver<Chunk>,
    chunk: Chunk,
}

impl Output {
    /// The stream's name.
    pub fn stream_id(&self) -> &str {
        self.outlet.stream_id()
    }

    /// A handle to report the output's condition to the stream.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Returns the next item, or `None` at the end of the stream. Cancel safe.
    pub async fn next(&mut self) -> Option<Coded> {
        loop {
            if let Some(coded) = self.chunk.next() {
                return Some(coded);
            }
            self.chunk = self.receiver.recv().await?;
        }
    }

    /// Returns the next item that came together with the last of [`next`](Self::next), if there is one, so
    /// that a sink can write them in one piece.
    pub fn rest(&mut self) -> Option<Coded> {
        self.chunk.next()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.receiver.close();
        let mut left = self.chunk.bytes();
        while let Ok(chunk) = self.receiver.try_recv() {
            left = left.saturating_add(chunk.bytes());
        }
        self.outlet.dropped(left);
    }
}
