//! Video and audio frames as a processor sees them.
//!
//! A [`VideoFrame`] holds either the picture that the decoder produced ([`I420`]) or an RGB tensor that a
//! processor put there. Pixels are converted when they are asked for and never before: a frame that nobody
//! looked at reaches the encoder as the decoder made it. An [`AudioFrame`] follows the same rule, and still
//! carries its encoded packet until its samples are replaced. Each video frame carries its [`Origin`], which
//! says which frame of its stream it is and when it arrived, from the decoder to the encoder.
//!
//! Decoding, encoding and timing policy are other crates' jobs.
#![forbid(unsafe_code)]

mod audio;
mod convert;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod draw;
mod error;
mod model_input;
mod model_pass;
mod origin;
mod overlay;
mod picture;
mod range;
mod resample;
mod scale;
mod video;

pub use audio::{AudioFrame, DecodeAudio};
#[cfg(feature = "cuda")]
pub use cuda::{GpuFigures, cuda_device, fill, gpu, gpu_figures, gpu_memory_used};
#[cfg(feature = "cuda")]
pub use cutrickle_cuda::{CopyStage, Gpu, Stage as GpuStage, TimedWork};
pub use device::{DeviceChoice, OpenedDevices, WITHOUT_CUDA};
pub use draw::{Canvas, Rgba};
pub use error::{Error, Result};
pub use model_input::{dtype_of, element_of};
pub use origin::{FrameId, Origin};
pub use picture::{I420, Plane, PlaneMut};
pub use scale::Scaler;
pub use video::VideoFrame;
