//! Ends within the process: access units that the caller hands over, and those that come out.
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

/// What comes from within the process.
#[derive(Debug)]
pub struct MemorySource(mpsc::Receiver<Fed>);

/// Feeds a [`MemorySource`]. The input ends when the last clone of it is dropped.
#[derive(Debug, Clone)]
pub struct Feed(mpsc::Sender<Fed>);

#[derive(Debug)]
enum Fed {
    Tracks(Tracks),
    Unit(AccessUnit),
    Failed(BoxError),
}

/// A source, and what feeds it. Up to `capacity` units wait between the two.
pub fn source(capacity: usize) -> (Feed, MemorySource) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (Feed(sender), MemorySource(receiver))
}

impl Feed {
    /// Says which tracks the units are of.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn tracks(&self, tracks: Tracks) -> Result<()> {
        self.send(Fed::Tracks(tracks)).await
    }

    /// Hands over the next unit. Waits while as many wait as may.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn unit(&self, unit: AccessUnit) -> Result<()> {
        self.send(Fed::Unit(unit)).await
    }

    /// Ends the input because of an error, and with it the stream.
    ///
    /// # Errors
    /// The stream has ended.
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

/// What goes to somebody within the process.
#[derive(Debug)]
pub struct MemorySink(mpsc::Sender<Coded>);

/// What comes out of a [`MemorySink`]. Dropping it ends the stream.
#[derive(Debug)]
pub struct MemoryOutput(mpsc::Receiver<Coded>);

/// A sink, and what comes out of it. Up to `capacity` units and beginnings of segments wait between the two.
pub fn sink(capacity: usize) -> (MemorySink, MemoryOutput) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (MemorySink(sender), MemoryOutput(receiver))
}

impl MemoryOutput {
    /// The next of what comes out; `None` at the end of the stream. Safe to cancel.
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
