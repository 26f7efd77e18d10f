//! A processor for some pictures only.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::Part;
use crate::{FrameProcessor, Generated, Params, Result, StreamContext};

/// A processor for every so many pictures: [`every`].
///
/// The first picture of a stream is processed, then each n-th. Sound, the pictures of a stream without input, parameters
/// and hooks reach the processor as if it were alone. Order is kept.
#[derive(Debug, Clone)]
pub struct Every<P> {
    processor: P,
    interval: u64,
    /// Pictures until the next one is due.
    left: u64,
    repeating: bool,
    last: Option<VideoFrame>,
}

/// Gives `processor` every `n`-th picture, at least every one. The others pass untouched, or repeat the last answer by
/// [`Every::repeating`].
pub fn every<P: FrameProcessor>(n: u64, processor: P) -> Every<P> {
    Every { processor, interval: n.max(1), left: 0, repeating: false, last: None }
}

impl<P> Every<P> {
    /// Shows the processor's last answer in the place of pictures that it is not given. Where it withheld its picture,
    /// these are withheld as well; where it failed, the answer before that goes on.
    #[must_use]
    pub fn repeating(self) -> Self {
        Self { repeating: true, ..self }
    }
}

impl<P: FrameProcessor> FrameProcessor for Every<P> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.processor.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        if self.left > 0 {
            self.left -= 1;
            let last = || self.last.clone().map(|last| last.at(frame.timestamp()));
            return Ok(if self.repeating { last() } else { Some(frame) });
        }
        self.left = self.interval - 1;
        let answer = self.processor.process_video(frame).await?;
        if self.repeating {
            self.last.clone_from(&answer);
        }
        Ok(answer)
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.processor.process_audio(frame).await
    }

    fn takes_audio(&mut self) -> bool {
        self.processor.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        self.processor.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.processor.update_params(params).await
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.processor.on_stream_start(stream).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.processor.on_stream_stop().await
    }

    fn parts(&self) -> Vec<Part> {
        self.processor.parts()
    }
}
