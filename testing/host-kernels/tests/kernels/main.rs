//! Compares the kernels, compiled for the host, with the standard's equations in f64, and with themselves:
//! the output is the same to the bit whatever the alignment, the launch and the previous contents of memory,
//! and nothing outside of the rows changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod canvas;
mod chance;
mod half_types;
mod layout;
mod overlay;
mod reference;
mod rgb_to_nv12;
mod round_trip;
mod scene;
mod yuv_to_model;
mod yuv_to_rgb;
