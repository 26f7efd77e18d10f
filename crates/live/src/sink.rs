//! The output: turns access units into segments.

use std::sync::Arc;
use std::time::Duration;

use cutrickle_error::chain;
use cutrickle_pipeline::Result;
use cutrickle_pipeline::ends::{Coded, Outlet, Output, Sink, SinkEnd};
use cutrickle_trickle::{Error, PublishCounters, Publisher, SegmentWriter};
use cutrickle_ts::Writer;

use crate::TrickleOptions;
use crate::delivery::follow;

/// How long a stream that was asked to stop waits for an unreachable server to accept a new segment.
const LAST_TRY: Duration = Duration::from_secs(1);

/// A channel whose segments are MPEG-TS, as the output of a stream.
#[derive(Debug)]
pub struct TrickleSink(Publisher);

impl TrickleSink {
    /// Opens the channel at `url`, which is created with the first segment.
    ///
    /// # Errors
    /// Fails for a malformed URL.
    pub fn new(url: &str, options: &TrickleOptions) -> Result<Self, Error> {
        Publisher::new(url, "video/MP2T", options.output()).map(Self)
    }
}

impl Sink for TrickleSink {
    async fn run(self, mut output: Output) -> Result<SinkEnd> {
        let (outlet, delivery) = (output.outlet(), self.0.delivery());
        let mut publishing = Publishing::new(self.0, output.outlet());
        let published = tokio::select! {
            biased;
            ended = follow(&outlet, delivery) => ended.map(Some),
            published = publishing.publish(&mut output) => published.map(|()| None),
        };
        match published {
            Ok(None) => {
                publishing.close().await;
                Ok(SinkEnd::Done)
            }
            failed => {
                publishing.segment = None;
                publishing.account();
                failed.map(|end| end.unwrap_or(SinkEnd::Closed))
            }
        }
    }
}

struct Publishing {
    outlet: Outlet,
    publisher: Publisher,
    counters: Arc<PublishCounters>,
    writer: Writer,
    segment: Option<SegmentWriter>,
    /// How many of the bytes sent and of the bytes lost have been reported.
    sent: u64,
    lost: u64,
}

impl Publishing {
    fn new(publisher: Publisher, outlet: Outlet) -> Self {
        let counters = publisher.counters();
        Self { outlet, publisher, counters, writer: Writer::new(), segment: None, sent: 0, lost: 0 }
    }

    async fn publish(&mut self, output: &mut Output) -> Result<()> {
        while let Some(coded) = output.next().await {
            if matches!(coded, Coded::Segment(_)) {
                self.begin().await;
            }
            self.writer.write(&coded)?;
            // What arrived in one piece is sent in one piece.
            while let Some(coded) = output.rest() {
                self.writer.write(&coded)?;
            }
            let bytes = self.writer.take();
            match &mut self.segment {
                // The segment counts the bytes that it refuses.
                Some(segment) => {
                    if let Err(e) = segment.try_write(bytes) {
                        // The publisher closes a segment that it cannot finish; the rest of it would have no
                        // reader.
                        self.segment = None;
                        self.outlet.error(chain(&e));
                    }
                }
                None => self.outlet.dropped(bytes.len() as u64),
            }
            self.account();
        }
        Ok(())
    }

    async fn begin(&mut self) {
        if let Some(done) = self.segment.take() {
            done.finish();
        }
        let given_up = async {
            self.outlet.stopping().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        self.segment = tokio::select! {
            biased;
            // If there is no segment, `follow` reports why.
            segment = self.publisher.segment() => segment.ok(),
            () = given_up => None,
        };
    }

    /// Reports what the publisher counted.
    fn account(&mut self) {
        let (sent, lost) = (self.counters.bytes(), self.counters.bytes_dropped());
        self.outlet.sent(sent.saturating_sub(self.sent));
        self.outlet.dropped(lost.saturating_sub(self.lost));
        (self.sent, self.lost) = (sent, lost);
    }

    async fn close(mut self) {
        if let Some(done) = self.segment.take() {
            done.finish();
        }
        // If the channel accepts nothing more, that was reported already.
        let closed = self.publisher.close().await;
        self.outlet.sent(self.counters.bytes().saturating_sub(self.sent));
        self.outlet.dropped(self.counters.bytes_dropped().saturating_sub(self.lost));
        if let Err(e) = closed {
            self.outlet.error(format_args!("ending it: {}", chain(&e)));
        }
    }
}
