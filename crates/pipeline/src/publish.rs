//! The publishing task: chunks of transport stream to trickle segments.

use std::sync::Arc;
use std::time::Duration;

use cutrickle_error::chain;
use cutrickle_trickle::{PublishCounters, Publisher, SegmentWriter};
use tokio::sync::mpsc;

use crate::delivery::{Outlet, follow};
use crate::egress::Chunk;
use crate::events::Event;
use crate::stream::Stream;

/// How long a stream that was asked to end waits for a server that is away to take a new segment.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Runs until every sender of `chunks` is gone, then closes the channel. Where the channel takes nothing any more, what
/// still comes is counted as dropped.
pub(crate) async fn run(stream: Arc<Stream>, publisher: Publisher, mut chunks: mpsc::Receiver<Chunk>) {
    let delivery = publisher.delivery();
    let mut publishing = Publishing {
        stream: &stream,
        counters: publisher.counters(),
        publisher,
        segment: None,
        begun: false,
        sent: 0,
        lost: 0,
    };
    let failed = tokio::select! {
        biased;
        () = follow(&stream, Outlet::Output, delivery) => true,
        () = publishing.publish(&mut chunks) => false,
    };
    if failed {
        publishing.segment = None;
        while let Some(chunk) = chunks.recv().await {
            stream.recorder.output_bytes_dropped.add(chunk.data.len() as u64);
        }
        return publishing.account();
    }
    publishing.close().await;
}

struct Publishing<'a> {
    stream: &'a Stream,
    publisher: Publisher,
    counters: Arc<PublishCounters>,
    segment: Option<SegmentWriter>,
    begun: bool,
    /// What has been accounted for of the bytes that were sent, and of those that were lost.
    sent: u64,
    lost: u64,
}

impl Publishing<'_> {
    async fn publish(&mut self, chunks: &mut mpsc::Receiver<Chunk>) {
        while let Some(chunk) = chunks.recv().await {
            if chunk.starts_segment {
                self.begin().await;
            }
            match &mut self.segment {
                // What it refuses it counts.
                Some(writer) => {
                    if let Err(e) = writer.try_write(chunk.data) {
                        // The publisher closes a segment that it cannot finish; what is left of it has no reader.
                        self.segment = None;
                        self.stream.error(format_args!("output: {}", chain(&e)));
                    }
                }
                None => self.stream.recorder.output_bytes_dropped.add(chunk.data.len() as u64),
            }
            self.account();
        }
    }

    async fn begin(&mut self) {
        if let Some(done) = self.segment.take() {
            done.finish();
        }
        let given_up = async {
            self.stream.stopped().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        self.segment = tokio::select! {
            biased;
            // Why there is none any more, `follow` says.
            segment = self.publisher.segment() => segment.ok(),
            () = given_up => None,
        };
        if self.segment.is_some() && !std::mem::replace(&mut self.begun, true) {
            self.stream.event(Event::new("send_first_processed_segment"));
        }
    }

    /// Passes on what the publisher counts.
    fn account(&mut self) {
        let (sent, lost) = (self.counters.bytes(), self.counters.bytes_dropped());
        if sent > self.sent {
            self.stream.output_bytes.add(sent - self.sent);
            self.stream.output_seen();
        }
        self.stream.recorder.output_bytes_dropped.add(lost.saturating_sub(self.lost));
        (self.sent, self.lost) = (sent, lost);
    }

    async fn close(mut self) {
        if let Some(done) = self.segment.take() {
            done.finish();
        }
        // A channel that takes nothing any more has been told of.
        let closed = self.publisher.close().await;
        let (sent, lost) = (self.counters.bytes(), self.counters.bytes_dropped());
        self.stream.output_bytes.add(sent.saturating_sub(self.sent));
        self.stream.recorder.output_bytes_dropped.add(lost.saturating_sub(self.lost));
        if let Err(e) = closed {
            self.stream.error(format_args!("ending the output: {}", chain(&e)));
        }
    }
}
