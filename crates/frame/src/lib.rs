//! Video and audio frames as a processor sees them.
//!
//! A [`VideoFrame`] holds either the picture that the decoder produced ([`I420`]) or an RGB tensor set by a
//! processor. Pixels are converted only when they are requested, so a frame that nobody reads reaches the
//! encoder exactly as the decoder made it. An [`AudioFrame`] follows the same rule and carries its encoded
//! packet until its samples are replaced. From the decoder to the encoder, each video frame carries its
//! [`Origin`], which identifies the frame and says when it arrived.
//!
//! Decoding, encoding and timing are left to other crates.
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
