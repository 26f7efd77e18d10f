//! Video and audio frames as a processor sees them.
//!
//! A [`VideoFrame`] holds either the picture that the decoder produced ([`I420`]) or an RGB tensor that a
//! processor put there. Pixels are converted when somebody asks for them and never before: a frame that
//! nobody looked at reaches the encoder as the decoder made it. An [`AudioFrame`] follows the same rule,
//! and still carries its encoded packet until its samples are replaced.
//!
//! Decoding, encoding and timing policy are other crates' jobs.
#![forbid(unsafe_code)]

mod audio;
mod colour;
mod convert;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod error;
mod model_input;
mod model_pass;
mod overlay;
mod picture;
mod range;
mod resample;
mod scale;
mod video;

pub use audio::{AudioFrame, DecodeAudio};
pub use colour::Colour;
#[cfg(feature = "cuda")]
pub use cuda::{GpuFigures, cuda_device, fill, gpu, gpu_figures, gpu_memory_used};
pub use cutrickle_cuda::kernels::{Fit, Layout, Matrix};
#[cfg(feature = "cuda")]
pub use cutrickle_cuda::{CopyStage, Gpu, Stage as GpuStage, TimedWork};
pub use device::{DeviceChoice, OpenedDevices, WITHOUT_CUDA};
pub use error::{Error, Result};
pub use model_input::ModelInput;
pub use picture::{I420, Plane, PlaneMut};
pub use scale::Scaler;
pub use video::VideoFrame;

/// Ticks of the clock that every timestamp counts in, per second (ISO/IEC 13818-1, 2.4.2: the 90 kHz
/// system clock that PTS and DTS are given in).
pub const TICKS_PER_SECOND: i64 = 90_000;
