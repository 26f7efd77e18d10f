//! The launch parameters of the kernels for whole pictures, with the same fields as in
//! kernels/parameters.cuh. Addresses are plain numbers: the code that launches a kernel owns the memory and
//! is responsible for its extent.

use cutrickle_media::{ColourSpace, Element};

use super::{BLOCK, FixedToRgb, FixedToYuv, Grid, SurfaceFormat, check_rows, check_size};
use crate::{Error, Result};

/// A decoded 4:2:0 picture in device memory (NV12 or P010). Chroma is interleaved and half as wide and high
/// as luma, rounded up. Rows of luma are aligned to a sample, rows of chroma to a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Surface {
    /// The address of the first row of luma.
    pub luma: u64,
    /// The address of the first row of chroma.
    pub chroma: u64,
    /// The distance between rows of luma in bytes.
    pub luma_pitch: i64,
    /// The distance between rows of chroma in bytes.
    pub chroma_pitch: i64,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

impl Surface {
    pub(super) fn check(&self, format: SurfaceFormat) -> Result<()> {
        let size = format.sample_size();
        let width = u64::from(self.width);
        check_size("a picture", self.width, self.height)?;
        check_rows("luma", self.luma, self.luma_pitch, width * size, size)?;
        check_rows("chroma", self.chroma, self.chroma_pitch, width.next_multiple_of(2) * size, 2 * size)
    }
}

/// The parameters for converting a picture to R'G'B' u8 of the same size, HWC, three channels. A chroma
/// sample is used for all of its 2x2 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct YuvToRgb {
    /// The picture to read.
    pub source: Surface,
    /// The address of the first pixel to write.
    pub rgb: u64,
    /// The distance between the rows to write in bytes.
    pub rgb_pitch: i64,
    /// The coefficients for the source's colour space and format.
    pub colour: FixedToRgb,
}

impl YuvToRgb {
    /// Describes the conversion of `source`, of `format` and in `colour`, to rows at `rgb` that are
    /// `rgb_pitch` bytes apart.
    ///
    /// # Errors
    /// A side is 0 or above [`MAX_SIDE`](super::MAX_SIDE), rows overlap, or an address or pitch is not a
    /// multiple of the size of its elements.
    pub fn new(
        source: Surface,
        format: SurfaceFormat,
        colour: ColourSpace,
        rgb: u64,
        rgb_pitch: i64,
    ) -> Result<Self> {
        source.check(format)?;
        check_rows("R'G'B'", rgb, rgb_pitch, 3 * u64::from(source.width), 1)?;
        Ok(Self { source, rgb, rgb_pitch, colour: FixedToRgb::new(colour, format) })
    }

    /// Returns the kernel for pictures of `format`.
    pub fn kernel(format: SurfaceFormat) -> &'static str {
        match format {
            SurfaceFormat::Nv12 => "nv12_to_rgb",
            SurfaceFormat::P010 => "p010_to_rgb",
        }
    }

    /// Returns a grid with a thread for every 16x2 pixels.
    pub fn grid(&self) -> Grid {
        Grid::for_each(self.source.width.div_ceil(BLOCK), self.source.height.div_ceil(2))
    }
}

/// The parameters for converting R'G'B' of any element type to NV12. Chroma is the mean of 2x2 pixels. At an
/// odd edge, the last pixel counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct RgbToNv12 {
    /// The address of the first pixel to read, HWC. u8 ranges from 0 to 255. Floats range from 0 to 1 and are
    /// clamped.
    pub pixels: u64,
    /// The distance between the rows to read in bytes.
    pub pixels_pitch: i64,
    /// The address of the first row of luma to write.
    pub luma: u64,
    /// The address of the first row of chroma to write.
    pub chroma: u64,
    /// The distance between rows of luma in bytes.
    pub luma_pitch: i64,
    /// The distance between rows of chroma in bytes.
    pub chroma_pitch: i64,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The number of channels: 1 (grey), 3, or 4 (the last one is ignored).
    pub channels: u32,
    /// The coefficients for the output's colour space.
    pub colour: FixedToYuv,
}

impl RgbToNv12 {
    /// Describes the conversion of rows of `target.width` pixels of `channels` elements at `pixels`, which
    /// are `pixels_pitch` bytes apart, to `target`.
    ///
    /// # Errors
    /// A side is 0 or above [`MAX_SIDE`](super::MAX_SIDE), the number of channels is not 1, 3 or 4, rows
    /// overlap, or an address or pitch is not a multiple of the size of its elements.
    pub fn new(
        pixels: u64,
        pixels_pitch: i64,
        channels: u32,
        element: Element,
        target: Surface,
        colour: ColourSpace,
    ) -> Result<Self> {
        if !matches!(channels, 1 | 3 | 4) {
            return Err(Error::new(format!("pixels of {channels} channels: 1, 3 or 4 make a picture")));
        }
        target.check(SurfaceFormat::Nv12)?;
        let row = u64::from(target.width) * u64::from(channels) * element.size();
        check_rows("pixels", pixels, pixels_pitch, row, element.size())?;
        let Surface { luma, chroma, luma_pitch, chroma_pitch, width, height } = target;
        let colour = FixedToYuv::new(colour);
        Ok(Self {
            pixels,
            pixels_pitch,
            luma,
            chroma,
            luma_pitch,
            chroma_pitch,
            width,
            height,
            channels,
            colour,
        })
    }

    /// Returns the kernel for pixels of `element`.
    pub fn kernel(element: Element) -> &'static str {
        match element {
            Element::U8 => "rgb_u8_to_nv12",
            Element::F16 => "rgb_f16_to_nv12",
            Element::Bf16 => "rgb_bf16_to_nv12",
            Element::F32 => "rgb_f32_to_nv12",
        }
    }

    /// Returns a grid with a thread for every 4, 8 or 16 pixels of two rows, the fewest that make up whole
    /// accesses of sixteen bytes.
    pub fn grid(&self, element: Element) -> Grid {
        let pixel = u64::from(self.channels) * element.size();
        let pixels = match pixel % 4 {
            0 => 4,
            2 => 8,
            _ => 16,
        };
        Grid::for_each(self.width.div_ceil(pixels), self.height.div_ceil(2))
    }
}

/// The parameters for blending an RGBA u8 picture over an R'G'B' u8 one in place. Alpha is straight, not
/// premultiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct OverlayBlend {
    /// The address of the picture's first pixel.
    pub picture: u64,
    /// The distance between the rows of the picture in bytes.
    pub picture_pitch: i64,
    /// The address of the target's first pixel.
    pub rgb: u64,
    /// The distance between the rows of the target in bytes.
    pub rgb_pitch: i64,
    /// The column of the target at which the picture's first pixel is placed. It may be outside of the
    /// target.
    pub offset_x: i32,
    /// The row of the target, likewise.
    pub offset_y: i32,
    /// The first column that the picture covers.
    pub left: u32,
    /// The first row that the picture covers.
    pub top: u32,
    /// The column after the last one that the picture covers.
    pub right: u32,
    /// The row after the last one that the picture covers.
    pub bottom: u32,
}

/// Rows of pixels in device memory, as [`OverlayBlend`] takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// The address of the first pixel.
    pub address: u64,
    /// The distance between rows in bytes.
    pub pitch: i64,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

impl OverlayBlend {
    /// Describes how to blend `picture` (RGBA) over `target` (R'G'B'), with its first pixel at the column and
    /// row `at` of the target. Returns `None` if they do not overlap.
    ///
    /// # Errors
    /// A side is 0 or above [`MAX_SIDE`](super::MAX_SIDE), or rows overlap.
    pub fn new(picture: Pixels, target: Pixels, at: [i32; 2]) -> Result<Option<Self>> {
        check_size("an overlay", picture.width, picture.height)?;
        check_size("a target", target.width, target.height)?;
        check_rows("an overlay", picture.address, picture.pitch, 4 * u64::from(picture.width), 1)?;
        check_rows("a target", target.address, target.pitch, 3 * u64::from(target.width), 1)?;
        let [x, y] = at;
        let (Some((left, right)), Some((top, bottom))) =
            (covered(x, picture.width, target.width), covered(y, picture.height, target.height))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            picture: picture.address,
            picture_pitch: picture.pitch,
            rgb: target.address,
            rgb_pitch: target.pitch,
            offset_x: x,
            offset_y: y,
            left,
            top,
            right,
            bottom,
        }))
    }

    /// Returns the kernel.
    pub fn kernel() -> &'static str {
        "overlay_blend"
    }

    /// Returns a grid with a thread for every 16 pixels.
    pub fn grid(&self) -> Grid {
        let blocks = self.right.div_ceil(BLOCK).saturating_sub(self.left / BLOCK);
        Grid::for_each(blocks, self.bottom.saturating_sub(self.top))
    }
}

/// Returns which of `of` positions are covered by `length` positions from `offset` on: the first one, and the
/// one after the last.
pub fn covered(offset: i32, length: u32, of: u32) -> Option<(u32, u32)> {
    let end = (i64::from(offset) + i64::from(length)).min(i64::from(of));
    let begin = i64::from(offset).max(0);
    (begin < end).then(|| Some((u32::try_from(begin).ok()?, u32::try_from(end).ok()?))).flatten()
}
