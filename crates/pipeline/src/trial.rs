//! A processor tried out, without a stream around it.

use std::fmt;

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use crate::stage::{Running, process_video};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// An instance of a processor, or of a composition, that is tried out: in a test, or on single frames. It is called as a
/// stream would call it, and what it emits goes nowhere.
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
    /// Starts an instance of `stage` for a stream like `stream`. It has to be initialised where it has anything to load.
    ///
    /// # Errors
    /// The processor's own.
    pub async fn start(stage: &S, stream: &StreamContext) -> Result<Self> {
        stage.start(stream).await.map(Self)
    }

    /// Gives it a frame, and waits for the answer.
    ///
    /// # Errors
    /// The processor's own.
    pub async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        process_video(&mut self.0, frame).await
    }

    /// Gives it audio.
    ///
    /// # Errors
    /// The processor's own.
    pub async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.0.process_audio(frame).await
    }

    /// Has it generate what belongs to a moment.
    ///
    /// # Errors
    /// The processor's own.
    pub async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.0.generate(timestamp).await
    }

    /// Gives it parameters.
    ///
    /// # Errors
    /// The processor's own, or a value that does not fit.
    pub async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.0.update_params(params).await
    }

    /// Ends its stream.
    ///
    /// # Errors
    /// The processor's own.
    pub async fn stop(mut self) -> Result<()> {
        self.0.stop().await
    }
}

impl<S: Stage> fmt::Debug for Trial<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trial")
    }
}
