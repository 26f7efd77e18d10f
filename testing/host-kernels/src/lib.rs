//! The GPU kernels compiled for the host, for tests on machines without a GPU.
//!
//! The sources are the same files that nvcc compiles. A shim defines CUDA's names for the host, and the
//! threads of a grid run one after another. This shows what the kernels compute, and which memory they read
//! and write. It does not show races, speed, or what the compiler for the device does.
//!
//! Each function checks that its slices hold all the rows, so that no kernel can touch other memory. Code
//! that launches a [`Kernel`] by name, such as the stand-in driver, has to check that itself.

mod device;
mod launch;

pub use device::{Kernel, Launch, Launcher, round_to_bfloat, round_to_half, struct_layouts, take_accesses};
pub use launch::{ModelOutput, Picture, Rows, RowsMut, overlay_blend, rgb_to_nv12, yuv_to_model, yuv_to_rgb};
