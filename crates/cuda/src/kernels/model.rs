//! What the kernel that prepares a model's input is launched with, and where its pixels come from.

use cutrickle_media::{ColourSpace, Element, Fit, Layout, ModelInput, Size, Span};

use super::{FloatToRgb, Grid, Surface, SurfaceFormat, check_rows, check_size};
use crate::{Error, Result};

/// Where the samples of one axis of a plane lie under the pixels of the output (`Axis` of
/// kernels/parameters.cuh).
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Axis {
    /// Up to a scale of 1: where the first pixel's middle is, 0 being the first sample's middle. Above: where
    /// the first pixel begins, 0 being the first sample's near edge. In samples.
    pub origin: f32,
    /// Samples a pixel.
    pub scale: f32,
}

impl Axis {
    /// `pixels` of output from `length` samples, the first beginning at `begin` (0: the first sample's near
    /// edge).
    fn new(begin: f64, length: f64, pixels: u32) -> Self {
        let scale = length / f64::from(pixels);
        // The kernel decides by the rounded scale, so this must too.
        let origin = if scale as f32 > 1.0 { begin } else { begin + scale / 2.0 - 0.5 };
        Self { origin: origin as f32, scale: scale as f32 }
    }
}

/// A picture to a model's input: cut out, resized, R'G'B' 0 to 1, normalised and padded in one pass.
///
/// Each axis is bilinear where it grows and the mean of what a pixel covers where it shrinks. Chroma is taken
/// from where H.264 says it lies if the stream does not (E.2.1, `chroma_sample_loc_type` 0): on the even
/// columns, midway between two rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct YuvToModel {
    /// What is read.
    pub source: Surface,
    /// Luma across.
    pub luma_x: Axis,
    /// Luma down.
    pub luma_y: Axis,
    /// Chroma across.
    pub chroma_x: Axis,
    /// Chroma down.
    pub chroma_y: Axis,
    /// Coefficients for the source's colour space and format.
    pub colour: FloatToRgb,
    /// Multiplies R'G'B' 0 to 1: 1 / std.
    pub gain: [f32; 3],
    /// Added then: -mean / std.
    pub bias: [f32; 3],
    /// What stands beside the picture, normalised already.
    pub padding: [f32; 3],
    /// 0: CHW. 1: HWC.
    pub interleaved: u32,
    /// 1: the picture keeps its size, fills a CHW tensor, and its rows are whole blocks of eight pixels, aligned to them.
    pub same_size: u32,
    /// Address of the first element written.
    pub output: u64,
    /// Elements from a row to the next.
    pub row_stride: i64,
    /// Elements from a plane to the next (CHW).
    pub plane_stride: i64,
    /// Pixels in a row of the output.
    pub width: u32,
    /// Rows of the output.
    pub height: u32,
    /// First column that the picture fills.
    pub left: u32,
    /// First row that the picture fills.
    pub top: u32,
    /// Behind the last column that the picture fills.
    pub right: u32,
    /// Behind the last row that the picture fills.
    pub bottom: u32,
}

impl YuvToModel {
    /// `source`, of `format` and in `colour`, to the packed tensor at `output` that `input` describes.
    ///
    /// # Errors
    /// A side of 0 or above [`MAX_SIDE`](super::MAX_SIDE); elements that are no floats; a `std` of 0; a
    /// source or output that is not aligned to its elements.
    pub fn new(
        source: Surface,
        format: SurfaceFormat,
        colour: ColourSpace,
        input: &ModelInput,
        output: u64,
    ) -> Result<Self> {
        let &ModelInput { layout, element, fit, mean, std, .. } = input;
        let Size { width, height } = input.size_of(source.width, source.height);
        source.check(format)?;
        check_size("a model's input", width, height)?;
        Self::kernel(format, element)?;
        input.check().map_err(Error::new)?;
        let row = i64::from(width) * if layout == Layout::Hwc { 3 } else { 1 };
        let bytes = row.unsigned_abs() * element.size();
        check_rows("a model's input", output, bytes.cast_signed(), bytes, element.size())?;

        let [x, y] = Span::both([source.width, source.height], [width, height], fit);
        let gain = std.map(|std| 1.0 / std);
        let bias = [0, 1, 2].map(|c| -mean[c] / std[c]);
        let padding = match fit {
            Fit::Letterbox(colour) => [0, 1, 2].map(|c| colour[c].mul_add(gain[c], bias[c])),
            Fit::Crop | Fit::Stretch => [0.0; 3],
        };
        let block = 8 * format.sample_size();
        let in_blocks = |address: u64, pitch: i64| {
            address.is_multiple_of(block) && pitch.unsigned_abs().is_multiple_of(block)
        };
        let same_size = (source.width, source.height, layout) == (width, height, Layout::Chw)
            && width.is_multiple_of(8)
            && in_blocks(source.luma, source.luma_pitch)
            && in_blocks(source.chroma, source.chroma_pitch);
        Ok(Self {
            source,
            luma_x: Axis::new(x.begin, x.length, x.pixels),
            luma_y: Axis::new(y.begin, y.length, y.pixels),
            // A chroma sample's middle lies on the middle of an even column: its near edge half a pixel
            // before the column's. Down, it spans exactly two rows.
            chroma_x: Axis::new((x.begin + 0.5) / 2.0, x.length / 2.0, x.pixels),
            chroma_y: Axis::new(y.begin / 2.0, y.length / 2.0, y.pixels),
            colour: FloatToRgb::new(colour, format),
            gain,
            bias,
            padding,
            interleaved: u32::from(layout == Layout::Hwc),
            same_size: same_size.into(),
            output,
            row_stride: row,
            plane_stride: row * i64::from(height),
            width,
            height,
            left: x.first,
            top: y.first,
            right: x.first + x.pixels,
            bottom: y.first + y.pixels,
        })
    }

    /// The kernel for pictures of `format` and elements of `element`.
    ///
    /// # Errors
    /// Elements that are no floats.
    pub fn kernel(format: SurfaceFormat, element: Element) -> Result<&'static str> {
        Ok(match (format, element) {
            (SurfaceFormat::Nv12, Element::F16) => "nv12_to_model_f16",
            (SurfaceFormat::Nv12, Element::Bf16) => "nv12_to_model_bf16",
            (SurfaceFormat::Nv12, Element::F32) => "nv12_to_model_f32",
            (SurfaceFormat::P010, Element::F16) => "p010_to_model_f16",
            (SurfaceFormat::P010, Element::Bf16) => "p010_to_model_bf16",
            (SurfaceFormat::P010, Element::F32) => "p010_to_model_f32",
            (_, Element::U8) => {
                return Err(Error::new("a model's input of u8: normalised values are floats"));
            }
        })
    }

    /// A launch with a thread for every four pixels of a column, which share what is computed of it, or for every eight
    /// pixels of two rows where the picture keeps its size.
    pub fn grid(&self) -> Grid {
        if self.same_size == 1 {
            return Grid::for_each(self.width.div_ceil(8), self.height / 2 + 1);
        }
        Grid::for_each(self.width, self.height.div_ceil(4))
    }
}
