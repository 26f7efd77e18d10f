//! The kernels as host code, for tests on machines without a GPU.
//!
//! The sources are the same files that nvcc compiles; a shim gives CUDA's names a meaning on the host, and
//! the threads of a grid run one after the other. What this shows: the arithmetic, and which memory is read
//! and written. What it cannot show: races (no kernel lets two threads meet), speed, and the compiler for the
//! device.
//!
//! Each function checks that its slices hold the rows it was told of, so none can touch memory it should not. Who
//! launches a [`Kernel`] by name (the stand-in driver) has that to do himself.

mod device;
mod launch;

pub use device::{Kernel, Launch, Launcher, round_to_bfloat, round_to_half, struct_layouts, take_accesses};
pub use launch::{ModelOutput, Picture, Rows, RowsMut, overlay_blend, rgb_to_nv12, yuv_to_model, yuv_to_rgb};
