//! The input: turns segments into access units.

use cutrickle_pipeline::Result;
use cutrickle_pipeline::ends::{Input, Source};
use cutrickle_trickle::{Error, Start, Subscriber};
use cutrickle_ts::Reader;

use crate::TrickleOptions;

/// A channel whose segments are MPEG-TS, as the input of a stream.
#[derive(Debug)]
pub struct TrickleSource(Subscriber);

impl TrickleSource {
    /// Subscribes to the channel at `url`, starting with the segment that is being written.
    ///
    /// # Errors
    /// Fails for a malformed URL.
    pub fn new(url: &str, options: &TrickleOptions) -> Result<Self, Error> {
        Subscriber::new(url, Start::Current, options.input()).map(Self)
    }
}

impl Source for TrickleSource {
    async fn run(mut self, mut input: Input) -> Result<()> {
        let mut reader = Reader::live();
        while let Some(mut segment) = self.0.next().await? {
            tracing::debug!(stream = %input.stream_id(), seq = segment.seq(), "segment");
            while let Some(bytes) = segment.chunk().await {
                reader.push(&bytes, &mut input).await;
            }
            if !segment.is_complete() {
                input.error(format_args!("segment {} broke off", segment.seq()));
            }
            reader.end_segment(&mut input).await;
        }
        Ok(())
    }
}
