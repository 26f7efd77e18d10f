//! What the kernels of whole pictures are launched with, field by field as in kernels/parameters.cuh.
//! Addresses are numbers: who launches owns the memory and answers for its extent.

use cutrickle_media::{ColourSpace, Element};

use super::{BLOCK, FixedToRgb, FixedToYuv, Grid, SurfaceFormat, check_rows, check_size};
use crate::{Error, Result};

/// A decoded 4:2:0 picture in device memory, chroma interleaved (NV12 or P010), half as wide and high as
/// luma, rounded up. Rows of luma are aligned to a sample, rows of chroma to a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Surface {
    /// Address of the first row of luma.
    pub luma: u64,
    /// Address of the first row of chroma.
    pub chroma: u64,
    /// Bytes from a row of luma to the next.
    pub luma_pitch: i64,
    /// Bytes from a row of chroma to the next.
    pub chroma_pitch: i64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
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

/// A picture to R'G'B' u8 of the same size, HWC, three channels. A chroma sample serves its 2x2 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct YuvToRgb {
    /// What is read.
    pub source: Surface,
    /// Address of the first pixel written.
    pub rgb: u64,
    /// Bytes from a row written to the next.
    pub rgb_pitch: i64,
    /// Coefficients for the source's colour space and format.
    pub colour: FixedToRgb,
}

impl YuvToRgb {
    /// `source`, of `format` and in `colour`, to rows at `rgb`, `rgb_pitch` bytes apart.
    ///
    /// # Errors
    /// A side of 0 or above [`MAX_SIDE`](super::MAX_SIDE); rows that overlap; an address or pitch that is no
    /// multiple of its elements' size.
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

    /// The kernel for pictures of `format`.
    pub fn kernel(format: SurfaceFormat) -> &'static str {
        match format {
            SurfaceFormat::Nv12 => "nv12_to_rgb",
            SurfaceFormat::P010 => "p010_to_rgb",
        }
    }

    /// A launch with a thread for every 16x2 pixels.
    pub fn grid(&self) -> Grid {
        Grid::for_each(self.source.width.div_ceil(BLOCK), self.source.height.div_ceil(2))
    }
}

/// R'G'B' of any element type to NV12. Chroma is the mean of 2x2 pixels; at an odd edge the last pixel counts
/// twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct RgbToNv12 {
    /// Address of the first pixel read, HWC. u8 is 0 to 255; floats are 0 to 1 and clamped.
    pub pixels: u64,
    /// Bytes from a row read to the next.
    pub pixels_pitch: i64,
    /// Address of the first row of luma written.
    pub luma: u64,
    /// Address of the first row of chroma written.
    pub chroma: u64,
    /// Bytes from a row of luma to the next.
    pub luma_pitch: i64,
    /// Bytes from a row of chroma to the next.
    pub chroma_pitch: i64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 (grey), 3, or 4 (the last is left out).
    pub channels: u32,
    /// Coefficients for the output's colour space.
    pub colour: FixedToYuv,
}

impl RgbToNv12 {
    /// Rows of `target.width` pixels of `channels` elements at `pixels`, `pixels_pitch` bytes apart, to
    /// `target`.
    ///
    /// # Errors
    /// A side of 0 or above [`MAX_SIDE`](super::MAX_SIDE); channels other than 1, 3 or 4; rows that overlap;
    /// an address or pitch that is no multiple of its elements' size.
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

    /// The kernel for pixels of `element`.
    pub fn kernel(element: Element) -> &'static str {
        match element {
            Element::U8 => "rgb_u8_to_nv12",
            Element::F16 => "rgb_f16_to_nv12",
            Element::Bf16 => "rgb_bf16_to_nv12",
            Element::F32 => "rgb_f32_to_nv12",
        }
    }

    /// A launch with a thread for as many pixels of two rows as are whole accesses of sixteen bytes: 4, 8 or 16.
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

/// An RGBA u8 picture over an R'G'B' u8 one, in place. Alpha is straight, not premultiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct OverlayBlend {
    /// Address of the picture's first pixel.
    pub picture: u64,
    /// Bytes from a row of the picture to the next.
    pub picture_pitch: i64,
    /// Address of the target's first pixel.
    pub rgb: u64,
    /// Bytes from a row of the target to the next.
    pub rgb_pitch: i64,
    /// Where the picture's first pixel lies, in pixels of the target; it may lie outside.
    pub offset_x: i32,
    /// Likewise, in rows.
    pub offset_y: i32,
    /// First column that the picture covers.
    pub left: u32,
    /// First row that the picture covers.
    pub top: u32,
    /// Behind the last column that the picture covers.
    pub right: u32,
    /// Behind the last row that the picture covers.
    pub bottom: u32,
}

/// Rows of pixels in device memory: what [`OverlayBlend`] lays over one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// Address of the first pixel.
    pub address: u64,
    /// Bytes from a row to the next.
    pub pitch: i64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl OverlayBlend {
    /// `picture` (RGBA) over `target` (R'G'B'), its first pixel at column and row `at` of the target. None
    /// where they do not meet.
    ///
    /// # Errors
    /// A side of 0 or above [`MAX_SIDE`](super::MAX_SIDE); rows that overlap.
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

    /// The kernel.
    pub fn kernel() -> &'static str {
        "overlay_blend"
    }

    /// A launch with a thread for every 16 pixels.
    pub fn grid(&self) -> Grid {
        let blocks = self.right.div_ceil(BLOCK).saturating_sub(self.left / BLOCK);
        Grid::for_each(blocks, self.bottom.saturating_sub(self.top))
    }
}

/// Which of `of` places are covered by `length` of them from `offset` on: the first, and that behind the last.
pub fn covered(offset: i32, length: u32, of: u32) -> Option<(u32, u32)> {
    let end = (i64::from(offset) + i64::from(length)).min(i64::from(of));
    let begin = i64::from(offset).max(0);
    (begin < end).then(|| Some((u32::try_from(begin).ok()?, u32::try_from(end).ok()?))).flatten()
}
