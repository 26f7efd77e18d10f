//! NVIDIA devices for live video: kernels, surfaces, decoder, encoder.
//!
//! Without the feature `cuda`, this crate builds on any machine, without a CUDA toolkit, and only contains
//! descriptions: the names of the kernels, their launch parameters, and the coefficients of each colour
//! space. With the feature, it also contains the compiled kernels and everything that runs on a device:
//!
//! - `Gpu`: one device and the single stream that orders all work on it. Nothing in this crate uses another
//!   stream, and nothing ever uses the NULL stream.
//! - `Picture`: a decoded picture in device memory, and its conversions.
//! - `nvdec`, `nvenc`: the decoder and the encoder. Their libraries are opened on first use.
//!
//! This crate knows nothing about tensors: it reads and writes pixels as cudarc's slices.

#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]

mod error;
pub mod kernels;

#[cfg(feature = "cuda")]
mod conversion;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod library;
#[cfg(feature = "cuda")]
pub mod nvdec;
#[cfg(feature = "cuda")]
pub mod nvenc;
#[cfg(feature = "cuda")]
mod picture;
#[cfg(feature = "cuda")]
mod timing;
#[cfg(feature = "cuda")]
mod transfer;

pub use error::{Error, Result};

#[cfg(feature = "cuda")]
pub use conversion::{Sample, TensorPixels, TensorPixelsMut};
#[cfg(feature = "cuda")]
pub use cudarc;
#[cfg(feature = "cuda")]
pub use device::Gpu;
#[cfg(feature = "cuda")]
pub use picture::Picture;
#[cfg(feature = "cuda")]
pub use timing::{EVERY as TIMED_ONE_IN, Stage, StageTime, TimedWork};
#[cfg(feature = "cuda")]
pub use transfer::{Copied, CopyStage, Download, HostPicture, Transfers};
