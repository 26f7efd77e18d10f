//! The kernels: their names, their launch parameters, and (with the feature `cuda`) their compiled image.
//! Launching them is left to the owner of a device.
//!
//! | kernel | parameters | does |
//! | --- | --- | --- |
//! | `nv12_to_rgb`, `p010_to_rgb` | [`YuvToRgb`] | picture to R'G'B' u8, HWC |
//! | `nv12_to_model_f16` and five more | [`YuvToModel`] | picture to a model's input, resized and normalised |
//! | `rgb_u8_to_nv12` and three more | [`RgbToNv12`] | R'G'B' to NV12 |
//! | `overlay_blend` | [`OverlayBlend`] | RGBA over R'G'B' |
//!
//! Each kernel takes its struct by value as its only argument. It works with any two-dimensional grid of
//! blocks, because threads advance to the next pixels in steps of the whole grid. A block has up to four
//! warps, each along a row. The struct's `grid` method proposes a [`Grid`]. Rows only need the alignment of
//! their elements, and pairs of chroma samples that of a pair, but wider accesses are used where addresses
//! allow.

mod colour;
mod model;
mod parameters;

pub use colour::{FixedToRgb, FixedToYuv, FloatToRgb};
pub use model::{Axis, YuvToModel};
pub use parameters::{OverlayBlend, Pixels, RgbToNv12, Surface, YuvToRgb, covered};

use crate::{Error, Result};

/// The names of all kernels.
pub const NAMES: [&str; 13] = [
    "nv12_to_rgb",
    "p010_to_rgb",
    "nv12_to_model_f16",
    "nv12_to_model_bf16",
    "nv12_to_model_f32",
    "p010_to_model_f16",
    "p010_to_model_bf16",
    "p010_to_model_f32",
    "rgb_u8_to_nv12",
    "rgb_f16_to_nv12",
    "rgb_bf16_to_nv12",
    "rgb_f32_to_nv12",
    "overlay_blend",
];

/// The machine code of every kernel for every supported GPU, in the form that `cuModuleLoadData` expects.
#[cfg(feature = "cuda")]
pub static IMAGE: &[u8] = {
    /// The driver reads the header of the image as 64-bit words.
    #[repr(C, align(16))]
    struct Aligned<T: ?Sized>(T);
    static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("CUTRICKLE_KERNEL_IMAGE")));
    &ALIGNED.0
};

/// The largest width or height of a picture in pixels. Up to this size, the kernels' 32-bit integers and
/// floats are exact enough.
pub const MAX_SIDE: u32 = 16_384;

/// The format in which a picture's samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SurfaceFormat {
    /// Samples of 8 bits.
    Nv12,
    /// Samples of 10 bits, in the upper bits of 16.
    P010,
}

impl SurfaceFormat {
    /// Returns the size of a stored sample in bytes.
    pub fn sample_size(self) -> u64 {
        match self {
            Self::Nv12 => 1,
            Self::P010 => 2,
        }
    }

    /// Returns the number of significant bits of a sample.
    pub fn depth(self) -> u32 {
        match self {
            Self::Nv12 => 8,
            Self::P010 => 10,
        }
    }
}

/// The number of threads that a kernel is launched with, horizontally and vertically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The number of blocks of threads.
    pub blocks: [u32; 2],
    /// The number of threads of a block.
    pub threads: [u32; 2],
}

impl Grid {
    /// A warp spans part of a row, so that its accesses are adjacent.
    const THREADS: [u32; 2] = [32, 4];
    /// CUDA's limit on the vertical number of blocks. Threads advance to the rows beyond it.
    const MAX_DOWN: u32 = 65_535;

    /// Launches one thread for each of `across` x `down` pieces of work.
    fn for_each(across: u32, down: u32) -> Self {
        let [x, y] = Self::THREADS;
        let blocks = [across.div_ceil(x).max(1), down.div_ceil(y).clamp(1, Self::MAX_DOWN)];
        Self { blocks, threads: Self::THREADS }
    }
}

/// The number of pixels in a row of 8-bit R'G'B' that a thread processes, like `BLOCK` in kernels/pixel.cuh.
const BLOCK: u32 = 16;

fn check_size(what: &str, width: u32, height: u32) -> Result<()> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        return Ok(());
    }
    Err(Error::new(format!("{what} of {width}x{height} pixels: sides are 1 to {MAX_SIDE}")))
}

/// Checks the address and pitch of rows of `row` bytes each, `pitch` apart, whose elements have `element`
/// bytes.
fn check_rows(what: &str, address: u64, pitch: i64, row: u64, element: u64) -> Result<()> {
    if address == 0 {
        return Err(Error::new(format!("{what} at the null address")));
    }
    if !u64::try_from(pitch).is_ok_and(|pitch| (row..=u32::MAX.into()).contains(&pitch)) {
        return Err(Error::new(format!("{what} with {pitch} bytes from row to row: a row has {row}")));
    }
    if !address.is_multiple_of(element) || !pitch.unsigned_abs().is_multiple_of(element) {
        return Err(Error::new(format!(
            "{what} at {address:#x} with {pitch} bytes from row to row: an element has {element}"
        )));
    }
    Ok(())
}
