//! Where the media of a stream go, and the bounded way to there.

use std::future::Future;
use std::sync::Arc;

use cutrickle_media::{AccessUnit, Tracks};
use tokio::sync::mpsc;

use super::{Channel, Outlet, SinkEnd};
use crate::stream::Stream;
use crate::{Queueing, Result};

/// Where the media of a stream go: a publication, a file, a player.
///
/// `run` ends with the output, when [`Output::next`] has nothing more. An error ends the stream because of its output.
/// What has not been taken by then is counted as dropped.
pub trait Sink: Send + 'static {
    /// Takes everything that `output` gives.
    fn run(self, output: Output) -> impl Future<Output = Result<SinkEnd>> + Send;
}

/// What a stream puts out, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Coded {
    /// A segment begins, with these tracks. Its first unit is an IDR frame with its parameter sets, unless it has no
    /// video track: segments of audio alone are made while video pauses.
    Segment(Tracks),
    /// The next unit. The timestamps of a track increase, and video has no B-frames.
    Unit(AccessUnit),
}

/// Chunks between the encoder and the sink: one each frame, one each packet of audio, about two seconds.
pub(crate) const MAX_CHUNKS: usize = 160;

/// What goes to the sink in one piece.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    segment: Option<Tracks>,
    unit: Option<AccessUnit>,
    /// Audio that has waited for its segment. Empty for nearly every chunk, and then without an allocation.
    more: std::vec::IntoIter<AccessUnit>,
}

impl Chunk {
    /// Begins a segment.
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

/// The encoding thread's end of the way. Where the sink is behind, a live stream drops the rest of the segment: a segment
/// with a hole is worth less than a short one. A stream that loses nothing waits.
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

    /// Must be called on a thread that may block.
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

/// What a stream puts out, for its [`Sink`].
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

    /// By which to tell the stream how its output is doing.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// The next of what the stream puts out; `None` at its end. Safe to cancel.
    pub async fn next(&mut self) -> Option<Coded> {
        loop {
            if let Some(coded) = self.chunk.next() {
                return Some(coded);
            }
            self.chunk = self.receiver.recv().await?;
        }
    }

    /// What came together with the last of [`next`](Self::next), if there is more of it: a sink may write that in one
    /// piece.
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
