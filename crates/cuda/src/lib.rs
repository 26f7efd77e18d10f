//! NVIDIA devices for live video: kernels, surfaces, decoder, encoder.
//!
//! Without the feature `cuda` this builds on any machine, with no toolkit, and describes only: what the
//! kernels are called, what they are launched with, and the numbers of each colour space. With it the
//! compiled kernels are there too.

#![forbid(unsafe_code)]

mod error;
pub mod kernels;

pub use error::{Error, Result};
