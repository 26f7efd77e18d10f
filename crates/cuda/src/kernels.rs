//! The kernels: their names, what each is launched with, and (feature `cuda`) their compiled image. Launching
//! is left to who holds a device.
//!
//! | kernel | parameters | does |
//! | --- | --- | --- |
//! | `nv12_to_rgb`, `p010_to_rgb` | [`YuvToRgb`] | picture to R'G'B' u8, HWC |
//! | `nv12_to_model_f16` and five more | [`YuvToModel`] | picture to a model's input, resized and normalised |
//! | `rgb_u8_to_nv12` and three more | [`RgbToNv12`] | R'G'B' to NV12 |
//! | `overlay_blend` | [`OverlayBlend`] | RGBA over R'G'B' |
//!
//! Each takes its struct by value as its only argument and works with any grid of blocks of two dimensions
//! (threads go on to the next pixels in steps of the whole grid), of up to four warps, each along a row. [`Grid`]
//! is what the struct's `grid` proposes. Rows need no alignment but their elements' own, pairs of chroma theirs;
//! more is moved at once where addresses allow.

mod colour;
mod model;
mod parameters;

pub use colour::{FixedToRgb, FixedToYuv, FloatToRgb};
pub use model::{Axis, YuvToModel};
pub use parameters::{OverlayBlend, Pixels, RgbToNv12, Surface, YuvToRgb, covered};

use crate::{Error, Result};

/// Every kernel's name.
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

/// Machine code of every kernel for every supported GPU, as `cuModuleLoadData` takes it.
#[cfg(feature = "cuda")]
pub static IMAGE: &[u8] = {
    /// The driver reads the image's head as 64-bit words.
    #[repr(C, align(16))]
    struct Aligned<T: ?Sized>(T);
    static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("CUTRICKLE_KERNEL_IMAGE")));
    &ALIGNED.0
};

/// Largest width or height of a picture, in pixels: up to it the kernels' 32-bit numbers and floats are exact
/// enough.
pub const MAX_SIDE: u32 = 16_384;

/// How a picture's samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SurfaceFormat {
    /// 8 bits.
    Nv12,
    /// 10 bits, in the upper end of 16.
    P010,
}

impl SurfaceFormat {
    /// Bytes of a sample as it is stored.
    pub fn sample_size(self) -> u64 {
        match self {
            Self::Nv12 => 1,
            Self::P010 => 2,
        }
    }

    /// Bits of a sample that mean something.
    pub fn depth(self) -> u32 {
        match self {
            Self::Nv12 => 8,
            Self::P010 => 10,
        }
    }
}

/// How many threads a kernel is launched with, across and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks of threads.
    pub blocks: [u32; 2],
    /// Threads of a block.
    pub threads: [u32; 2],
}

impl Grid {
    /// A warp goes along a row, so that its accesses are neighbours.
    const THREADS: [u32; 2] = [32, 4];
    /// CUDA's limit of blocks down; threads step on to what lies beyond.
    const MAX_DOWN: u32 = 65_535;

    /// One thread each for `across` x `down` pieces of work.
    fn for_each(across: u32, down: u32) -> Self {
        let [x, y] = Self::THREADS;
        let blocks = [across.div_ceil(x).max(1), down.div_ceil(y).clamp(1, Self::MAX_DOWN)];
        Self { blocks, threads: Self::THREADS }
    }
}

/// Pixels of a row that a thread takes of R'G'B' of 8 bits, as `BLOCK` in kernels/pixel.cuh.
const BLOCK: u32 = 16;

fn check_size(what: &str, width: u32, height: u32) -> Result<()> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        return Ok(());
    }
    Err(Error::new(format!("{what} of {width}x{height} pixels: sides are 1 to {MAX_SIDE}")))
}

/// Checks rows of `row` bytes each, `pitch` apart, whose elements take `element` bytes.
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
