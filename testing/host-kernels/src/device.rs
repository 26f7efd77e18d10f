//! The entry points of the C++ side, and what it reports about itself.

use std::mem::{offset_of, size_of};

use cutrickle_cuda::kernels::{Grid, OverlayBlend, RgbToNv12, Surface, YuvToModel, YuvToRgb};

/// How many threads a kernel runs with (`Launch` in host/launch.cpp).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Launch {
    blocks: [u32; 2],
    threads: [u32; 2],
}

impl Launch {
    /// A launch of this many blocks of this many threads, across and down.
    pub fn new(blocks: [u32; 2], threads: [u32; 2]) -> Self {
        Self { blocks, threads }
    }
}

impl From<Grid> for Launch {
    fn from(grid: Grid) -> Self {
        Self::new(grid.blocks, grid.threads)
    }
}

/// Runs a kernel.
///
/// Every row that the parameters name must be mapped, and aligned to its elements.
pub type Launcher<P> = unsafe extern "C" fn(*const P, *const Launch);

unsafe extern "C" {
    pub(crate) fn host_nv12_to_rgb(parameters: *const YuvToRgb, grid: *const Launch);
    pub(crate) fn host_p010_to_rgb(parameters: *const YuvToRgb, grid: *const Launch);
    pub(crate) fn host_nv12_to_model_f16(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_nv12_to_model_bf16(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_nv12_to_model_f32(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_p010_to_model_f16(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_p010_to_model_bf16(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_p010_to_model_f32(parameters: *const YuvToModel, grid: *const Launch);
    pub(crate) fn host_rgb_u8_to_nv12(parameters: *const RgbToNv12, grid: *const Launch);
    pub(crate) fn host_rgb_f16_to_nv12(parameters: *const RgbToNv12, grid: *const Launch);
    pub(crate) fn host_rgb_bf16_to_nv12(parameters: *const RgbToNv12, grid: *const Launch);
    pub(crate) fn host_rgb_f32_to_nv12(parameters: *const RgbToNv12, grid: *const Launch);
    pub(crate) fn host_overlay_blend(parameters: *const OverlayBlend, grid: *const Launch);

    fn host_take_accesses(counts: *mut u64);
    safe fn host_round_to_half(value: f32) -> u16;
    safe fn host_round_to_bfloat(value: f32) -> u16;
    fn host_layout(numbers: *mut u64);
}

/// A kernel, by the type of its parameters.
#[derive(Debug, Clone, Copy)]
pub enum Kernel {
    /// Converts a frame to R'G'B'.
    YuvToRgb(Launcher<YuvToRgb>),
    /// Converts a frame to a model's input.
    YuvToModel(Launcher<YuvToModel>),
    /// Converts R'G'B' to NV12.
    RgbToNv12(Launcher<RgbToNv12>),
    /// Blends RGBA over R'G'B'.
    OverlayBlend(Launcher<OverlayBlend>),
}

impl Kernel {
    /// The kernel with this name in the image.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "nv12_to_rgb" => Self::YuvToRgb(host_nv12_to_rgb),
            "p010_to_rgb" => Self::YuvToRgb(host_p010_to_rgb),
            "nv12_to_model_f16" => Self::YuvToModel(host_nv12_to_model_f16),
            "nv12_to_model_bf16" => Self::YuvToModel(host_nv12_to_model_bf16),
            "nv12_to_model_f32" => Self::YuvToModel(host_nv12_to_model_f32),
            "p010_to_model_f16" => Self::YuvToModel(host_p010_to_model_f16),
            "p010_to_model_bf16" => Self::YuvToModel(host_p010_to_model_bf16),
            "p010_to_model_f32" => Self::YuvToModel(host_p010_to_model_f32),
            "rgb_u8_to_nv12" => Self::RgbToNv12(host_rgb_u8_to_nv12),
            "rgb_f16_to_nv12" => Self::RgbToNv12(host_rgb_f16_to_nv12),
            "rgb_bf16_to_nv12" => Self::RgbToNv12(host_rgb_bf16_to_nv12),
            "rgb_f32_to_nv12" => Self::RgbToNv12(host_rgb_f32_to_nv12),
            "overlay_blend" => Self::OverlayBlend(host_overlay_blend),
            _ => return None,
        })
    }
}

/// How many accesses to pixels were of less than 4 bytes, of 4 bytes, and of more, on this thread since the
/// last call.
pub fn take_accesses() -> [u64; 3] {
    let mut counts = [0; 3];
    // SAFETY: the function writes three numbers, and there is room for three.
    unsafe { host_take_accesses(counts.as_mut_ptr()) };
    counts
}

/// Rounds `value` to a binary16 with the shim's version of CUDA's conversion.
pub fn round_to_half(value: f32) -> u16 {
    host_round_to_half(value)
}

/// Rounds `value` to a bfloat16 with the shim's version of CUDA's conversion.
pub fn round_to_bfloat(value: f32) -> u16 {
    host_round_to_bfloat(value)
}

/// The sizes and offsets in the parameter structs, as Rust and as C++ lay them out.
pub fn struct_layouts() -> [Vec<u64>; 2] {
    let here: [u64; 21] = [
        size_of::<Surface>(),
        size_of::<YuvToRgb>(),
        size_of::<YuvToModel>(),
        size_of::<RgbToNv12>(),
        size_of::<OverlayBlend>(),
        offset_of!(Surface, width),
        offset_of!(YuvToRgb, rgb),
        offset_of!(YuvToRgb, colour),
        offset_of!(YuvToRgb, colour.blue),
        offset_of!(YuvToModel, chroma_y),
        offset_of!(YuvToModel, colour),
        offset_of!(YuvToModel, padding),
        offset_of!(YuvToModel, interleaved),
        offset_of!(YuvToModel, same_size),
        offset_of!(YuvToModel, output),
        offset_of!(YuvToModel, bottom),
        offset_of!(RgbToNv12, channels),
        offset_of!(RgbToNv12, colour),
        offset_of!(RgbToNv12, colour.chroma_offset),
        offset_of!(OverlayBlend, offset_x),
        offset_of!(OverlayBlend, bottom),
    ]
    .map(|n| n as u64);
    let mut there = [0; 21];
    // SAFETY: host_layout writes as many numbers as are listed above, which a test makes sure of.
    unsafe { host_layout(there.as_mut_ptr()) };
    [here.to_vec(), there.to_vec()]
}
