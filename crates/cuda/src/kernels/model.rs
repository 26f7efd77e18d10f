//! The launch parameters of the kernel that prepares a model's input, and the computation of where its pixels
//! come from.

use cutrickle_media::{ColourSpace, Element, Fit, Layout, ModelInput, Size, Span};

use super::{FloatToRgb, Grid, Surface, SurfaceFormat, check_rows, check_size};
use crate::{Error, Result};

/// The position of a plane's samples along one axis relative to the pixels of the output (`Axis` of
/// kernels/parameters.cuh).
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Axis {
    /// The origin in samples. For a scale of up to 1, it is the centre of the first pixel, where 0 is the
    /// centre of the first sample. Above that, it is the beginning of the first pixel, where 0 is the near
    /// edge of the first sample.
    pub origin: f32,
    /// The number of samples per pixel.
    pub scale: f32,
}

impl Axis {
    /// Maps `pixels` pixels of output to `length` samples. The first pixel begins at `begin`, where 0 is the
    /// near edge of the first sample.
    fn new(begin: f64, length: f64, pixels: u32) -> Self {
        let scale = length / f64::from(pixels);
        // The kernel decides by the rounded scale, so the same must happen here.
        let origin = if scale as f32 > 1.0 { begin } else { begin + scale / 2.0 - 0.5 };
        Self { origin: origin as f32, scale: scale as f32 }
    }
}

/// The parameters for converting a picture to a model's input. It is cropped, resized, converted to R'G'B' 0
/// to 1, normalised and padded in one pass.
///
/// Each axis is interpolated linearly where it grows, and averages the samples that a pixel covers where it
/// shrinks. Chroma is assumed to be where H.264 places it if the stream does not say otherwise (E.2.1,
/// `chroma_sample_loc_type` 0): on the even columns, midway between two rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct YuvToModel {
    /// The picture to read.
    pub source: Surface,
    /// Luma, horizontally.
    pub luma_x: Axis,
    /// Luma, vertically.
    pub luma_y: Axis,
    /// Chroma, horizontally.
    pub chroma_x: Axis,
    /// Chroma, vertically.
    pub chroma_y: Axis,
    /// The coefficients for the source's colour space and format.
    pub colour: FloatToRgb,
    /// The factors of R'G'B' 0 to 1, which are 1 / std.
    pub gain: [f32; 3],
    /// The offsets that are then added, which are -mean / std.
    pub bias: [f32; 3],
    /// The colour next to the picture, which is already normalised.
    pub padding: [f32; 3],
    /// 0 for CHW, 1 for HWC.
    pub interleaved: u32,
    /// 1 if the picture keeps its size, fills a CHW tensor, and has rows that consist of whole, aligned
    /// blocks of eight pixels.
    pub same_size: u32,
    /// The address of the first element to write.
    pub output: u64,
    /// The distance between rows in elements.
    pub row_stride: i64,
    /// The distance between planes in elements (CHW).
    pub plane_stride: i64,
    /// The width of the output in pixels.
    pub width: u32,
    /// The height of the output in pixels.
    pub height: u32,
    /// The first column that the picture fills.
    pub left: u32,
    /// The first row that the picture fills.
    pub top: u32,
    /// The column after the last one that the picture fills.
    pub right: u32,
    /// The row after the last one that the picture fills.
    pub bottom: u32,
}

impl YuvToModel {
    /// Describes the conversion of `source`, of `format` and in `colour`, to the packed tensor at `output`
    /// that `input` describes.
    ///
    /// # Errors
    /// A side is 0 or above [`MAX_SIDE`](super::MAX_SIDE), the elements are not floats, a `std` is 0, or the
    /// source or output is not aligned to its elements.
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
            // A chroma sample is centred on an even column, so its near edge is half a pixel before the
            // column's. Vertically, it spans exactly two rows.
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

    /// Returns the kernel for pictures of `format` and elements of `element`.
    ///
    /// # Errors
    /// The elements are not floats.
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

    /// Returns a grid with a thread for every four pixels of a column, which share the computations for the
    /// column, or for every eight pixels of two rows if the picture keeps its size.
    pub fn grid(&self) -> Grid {
        if self.same_size == 1 {
            return Grid::for_each(self.width.div_ceil(8), self.height / 2 + 1);
        }
        Grid::for_each(self.width, self.height.div_ceil(4))
    }
}
