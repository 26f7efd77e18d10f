//! NVIDIA devices for live video: kernels, surfaces, decoder, encoder.
//!
//! Without the feature `cuda` this builds on any machine, with no toolkit, and only describes: what the kernels
//! are called, what they are launched with, and the coefficients of each colour space. With it there are the
//! compiled kernels and everything that runs on a device:
//!
//! - [`Gpu`]: one device and the one stream that all work on it is ordered by. Nothing here uses another, and
//!   nothing ever uses the NULL stream.
//! - [`Picture`]: a decoded picture in the device's memory, and its conversions.
//! - [`nvdec`], [`nvenc`]: the decoder and the encoder. Their libraries are opened when they are first asked
//!   for.
//!
//! Tensors are others' business: pixels come and go as cudarc's slices.

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
