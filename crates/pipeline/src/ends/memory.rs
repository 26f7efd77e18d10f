//! Ends within the process: the caller feeds access units in and receives those that come out.
//!
//! ```
//! # use cutrickle_pipeline::{Ends, ends::memory};
//! let (feed, source) = memory::source(8);
//! let (sink, mut output) = memory::sink(64);
//! let ends = Ends::new().with_source(source).with_sink(sink);
//! // `feed.tracks(..)`, then `feed.unit(..)` for each unit; `output.next()` for each that comes out.
//! # drop((feed, ends));
//! ```

use cutrickle_media::{AccessUnit, Tracks};
use tokio::sync::mpsc;

use super::{Coded, Input, Output, Sink, SinkEnd, Source};
use crate::{BoxError, InputInfo, Result};

/// A source fed from within the process.
#[derive(Debug)]
pub struct MemorySource(mpsc::Receiver<Fed>);

/// Feeds a [`MemorySource`]. The input ends when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Feed(mpsc::Sender<Fed>);

#[derive(Debug)]
enum Fed {
    Tracks(Tracks),
    Unit(AccessUnit),
    Failed(BoxError),
}

/// Creates a source and its feed. Up to `capacity` units wait between the two.
pub fn source(capacity: usize) -> (Feed, MemorySource) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (Feed(sender), MemorySource(receiver))
}

impl Feed {
    /// Announces the tracks of the following units.
    ///
    /// # Errors
    /// Fails if the stream has ended.
    pub async fn tracks(&self, tracks: Tracks) -> Result<()> {
        self.send(Fed::Tracks(tracks)).await
    }

    /// Sends the next unit, and waits while the queue is full.
    ///
    /// # Errors
    /// Fails if the stream has ended.
    pub async fn unit(&self, unit: AccessUnit) -> Result<()> {
        self.send(Fed::Unit(unit)).await
    }

    /// Ends the input, and with it the stream, because of an error.
    ///
    /// # Errors
    /// Fails if the stream has ended.
    pub async fn fail(self, why: impl Into<BoxError>) -> Result<()> {
        self.send(Fed::Failed(why.into())).await
    }

    async fn send(&self, fed: Fed) -> Result<()> {
        self.0.send(fed).await.map_err(|_| "the stream has ended".into())
    }
}

impl Source for MemorySource {
    async fn run(mut self, mut input: Input) -> Result<()> {
        while let Some(fed) = self.0.recv().await {
            match fed {
                Fed::Tracks(tracks) => input.tracks(tracks, InputInfo::of(&tracks)),
                Fed::Unit(unit) => {
                    input.received(unit.data.len());
                    input.unit(unit).await;
                }
                Fed::Failed(why) => return Err(why),
            }
        }
        Ok(())
    }
}

/// A sink that delivers within the process.
#[derive(Debug)]
pub struct MemorySink(mpsc::Sender<Coded>);

/// The output of a [`MemorySink`]. Dropping it ends the stream.
#[derive(Debug)]
pub struct MemoryOutput(mpsc::Receiver<Coded>);

/// Creates a sink and its output. Up to `capacity` units and segment starts wait between the two.
pub fn sink(capacity: usize) -> (MemorySink, MemoryOutput) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (MemorySink(sender), MemoryOutput(receiver))
}

impl MemoryOutput {
    /// Returns the next output, or `None` at the end of the stream. Cancel safe.
    pub async fn next(&mut self) -> Option<Coded> {
        self.0.recv().await
    }
}

impl Sink for MemorySink {
    async fn run(self, mut output: Output) -> Result<SinkEnd> {
        let outlet = output.outlet();
        loop {
            let coded = tokio::select! {
                coded = output.next() => coded,
                () = self.0.closed() => return Ok(SinkEnd::Closed),
            };
            let Some(coded) = coded else { return Ok(SinkEnd::Done) };
            let bytes = match &coded {
                Coded::Unit(unit) => unit.data.len() as u64,
                Coded::Segment(_) => 0,
            };
            if self.0.send(coded).await.is_err() {
                outlet.dropped(bytes);
                return Ok(SinkEnd::Closed);
            }
            outlet.sent(bytes);
        }
    }
}
