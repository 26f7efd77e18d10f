//! The kernels, compiled for the host, against the standard's equations in f64, and against themselves:
//! whatever the alignment, the launch and what lay in memory before, the same bits come out, and nothing
//! beside the rows changes.
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
