//! The publishing task: chunks of transport stream to trickle segments.

use std::sync::Arc;

use cutrickle_error::chain;
use cutrickle_trickle::{Publisher, SegmentWriter};
use tokio::sync::mpsc;

use crate::egress::Chunk;
use crate::events::Event;
use crate::stream::Stream;

/// Runs until every sender of `chunks` is gone, then closes the channel.
pub(crate) async fn run(stream: Arc<Stream>, mut publisher: Publisher, mut chunks: mpsc::Receiver<Chunk>) {
    let mut segment: Option<SegmentWriter> = None;
    let mut begun = false;
    while let Some(chunk) = chunks.recv().await {
        if chunk.starts_segment {
            if let Some(done) = segment.take() {
                done.finish();
            }
            segment = match publisher.segment().await {
                Ok(writer) => {
                    if !std::mem::replace(&mut begun, true) {
                        stream.event(Event::new("send_first_processed_segment"));
                    }
                    Some(writer)
                }
                Err(e) => {
                    stream.error(format_args!("output: {}", chain(&e)));
                    None
                }
            };
        }
        let size = chunk.data.len() as u64;
        let written = match &mut segment {
            Some(writer) => writer.try_write(chunk.data),
            None => {
                stream.recorder.output_bytes_dropped.add(size);
                continue;
            }
        };
        if let Err(e) = written {
            // The publisher closes a segment that it cannot finish; what is left of it has no reader.
            segment = None;
            stream.recorder.output_bytes_dropped.add(size);
            stream.error(format_args!("output: {}", chain(&e)));
        }
    }
    if let Some(done) = segment.take() {
        done.finish();
    }
    if let Err(e) = publisher.close().await {
        stream.error(format_args!("ending the output: {}", chain(&e)));
    }
}
