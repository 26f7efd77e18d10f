//! Runs a processor without a stream, to try it out.

use std::fmt;

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use crate::stage::{Running, process_video};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Runs an instance of a processor or composition without a stream, in a test or on single frames. It is
/// called as a stream would call it, and what it emits is discarded.
///
/// ```
/// use cutrickle_pipeline::{Params, StreamContext, Trial, compose::map_tensor};
/// # use candle_core::{DType, Device, Tensor};
/// # use cutrickle_frame::VideoFrame;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cutrickle_pipeline::Result<()> {
///
/// let mirror = map_tensor(|pixels| pixels.flip(&[1]));
/// let mut trial = Trial::start(&mirror, &StreamContext::new("test", Params::new(), Device::Cpu)).await?;
/// let frame = VideoFrame::try_from(Tensor::zeros((4, 6, 3), DType::U8, &Device::Cpu)?)?;
/// assert!(trial.process_video(frame).await?.is_some());
/// # Ok(())
/// # }
/// ```
pub struct Trial<S: Stage>(S::Running);

impl<S: Stage> Trial<S> {
    /// Starts an instance of `stage` for a stream like `stream`. If the stage has anything to load, it must
    /// be initialised before.
    ///
    /// # Errors
    /// Fails if the processor does.
    pub async fn start(stage: &S, stream: &StreamContext) -> Result<Self> {
        stage.start(stream).await.map(Self)
    }

    /// Processes a frame and waits for the answer.
    ///
    /// # Errors
    /// Fails if the processor does.
    pub async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        process_video(&mut self.0, frame).await
    }

    /// Processes audio.
    ///
    /// # Errors
    /// Fails if the processor does.
    pub async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.0.process_audio(frame).await
    }

    /// Generates the output for a moment.
    ///
    /// # Errors
    /// Fails if the processor does.
    pub async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.0.generate(timestamp).await
    }

    /// Updates parameters.
    ///
    /// # Errors
    /// Fails if the processor does, or for a value that does not fit.
    pub async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.0.update_params(params).await
    }

    /// Ends its stream.
    ///
    /// # Errors
    /// Fails if the processor does.
    pub async fn stop(mut self) -> Result<()> {
        self.0.stop().await
    }
}

impl<S: Stage> fmt::Debug for Trial<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trial")
    }
}
