//! The single pass over a picture's pixels that makes a model's input: rows are resampled to floats,
//! converted to RGB, normalised, and stored in the model's type and order. Checks and tensors are left to
//! `model_input`.
//!
//! The loops are written for the compiler to vectorize. A large output is split into bands of rows for
//! candle's thread pool, so no extra threads are created.

use cutrickle_cuda::kernels::{FloatToRgb, SurfaceFormat};
use cutrickle_media::{Colour, Fit, Layout, ModelInput, Size, Span};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::resample::{Axis, down};
use crate::{I420, Plane};

/// Outputs with fewer pixels than this are not worth a second thread.
const BAND_PIXELS: usize = 65_536;

/// The source of the pixels.
pub(crate) enum Source<'a> {
    Picture(&'a I420, Colour),
    /// Rows of pixels with `channels` (1, 3 or 4) bytes each.
    Rgb {
        pixels: &'a [u8],
        width: usize,
        height: usize,
        channels: usize,
    },
}

impl Source<'_> {
    pub(crate) fn size(&self) -> (u32, u32) {
        match self {
            Self::Picture(picture, _) => (picture.width(), picture.height()),
            Self::Rgb { width, height, .. } => (*width as u32, *height as u32),
        }
    }
}

/// An element type of a model's input.
pub(crate) trait Element: Copy + Default + Send {
    /// Stores normalised values.
    fn store(values: &[f32], out: &mut [Self]);
}

impl Element for f32 {
    fn store(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }
}

impl Element for f16 {
    fn store(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

impl Element for bf16 {
    fn store(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

impl Element for u8 {
    fn store(values: &[f32], out: &mut [Self]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = (value * 255.0 + 0.5) as u8;
        }
    }
}

/// Returns the whole output in `input`'s order.
pub(crate) fn run<T: Element>(source: &Source<'_>, input: &ModelInput) -> Vec<T> {
    let (width, height) = source.size();
    let Size { width, height } = input.size_of(width, height);
    let (width, height) = (width as usize, height as usize);
    let pass = Pass::new(source, input, width, height);
    let mut out = vec![T::default(); 3 * width * height];
    let bands = (width * height / BAND_PIXELS).clamp(1, rayon::current_num_threads());
    let rows = height.div_ceil(bands);
    let band = |index: usize, mut output: Output<'_, T>| {
        let mut scratch = Scratch::new(&pass);
        for row in 0..rows.min(height - index * rows) {
            pass.row(index * rows + row, row, &mut scratch, &mut output);
        }
    };
    match input.layout {
        Layout::Chw => {
            let (red, rest) = out.split_at_mut(width * height);
            let (green, blue) = rest.split_at_mut(width * height);
            let size = rows * width;
            let bands = red.chunks_mut(size).zip(green.chunks_mut(size)).zip(blue.chunks_mut(size));
            let bands: Vec<_> = bands.map(|((r, g), b)| Output::Planes([r, g, b])).collect();
            each(bands, band);
        }
        Layout::Hwc => each(out.chunks_mut(rows * width * 3).map(Output::Pixels).collect(), band),
    }
    out
}

fn each<T: Send>(bands: Vec<T>, run: impl Fn(usize, T) + Sync) {
    if bands.len() == 1 {
        bands.into_iter().for_each(|band| run(0, band));
    } else {
        bands.into_par_iter().enumerate().for_each(|(index, band)| run(index, band));
    }
}

/// A band of rows of the output.
enum Output<'a, T> {
    Planes([&'a mut [T]; 3]),
    Pixels(&'a mut [T]),
}

impl<T: Element> Output<'_, T> {
    fn store(&mut self, row: usize, values: &[Vec<f32>; 3], mixed: &mut [f32]) {
        let [red, green, blue] = values;
        let width = red.len();
        match self {
            Self::Planes(planes) => {
                for (plane, values) in planes.iter_mut().zip(values) {
                    T::store(values, &mut plane[row * width..][..width]);
                }
            }
            Self::Pixels(pixels) => {
                for (((pixel, r), g), b) in mixed.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                    pixel[0] = *r;
                    pixel[1] = *g;
                    pixel[2] = *b;
                }
                T::store(mixed, &mut pixels[row * width * 3..][..width * 3]);
            }
        }
    }
}

/// How one plane is sampled.
struct Plan<'a> {
    samples: &'a [u8],
    /// Samples per row, all channels together.
    stride: usize,
    across: Axis,
    down: Axis,
}

impl<'a> Plan<'a> {
    fn new(plane: &Plane<'a>, across: Axis, down: Axis) -> Self {
        Self { samples: plane.data, stride: plane.stride, across, down }
    }
}

enum Planes<'a> {
    Yuv { luma: Plan<'a>, chroma: [Plan<'a>; 2], colour: FloatToRgb },
    Rgb { plan: Plan<'a>, channels: usize },
}

/// Everything that is needed to compute a row of the output.
struct Pass<'a> {
    planes: Planes<'a>,
    x: Span,
    y: Span,
    width: usize,
    /// Applied to R'G'B' from 0 to 1.
    gain: [f32; 3],
    bias: [f32; 3],
    padding: [f32; 3],
}

/// The working memory of a band.
struct Scratch {
    /// The weighted sum of source rows.
    sums: Vec<f32>,
    /// Luma and chroma for the pixels covered by the picture.
    yuv: [Vec<f32>; 3],
    /// One row of the output.
    rgb: [Vec<f32>; 3],
    mixed: Vec<f32>,
}

impl Scratch {
    fn new(pass: &Pass<'_>) -> Self {
        let stride = match &pass.planes {
            Planes::Yuv { luma, .. } => luma.stride,
            Planes::Rgb { plan, .. } => plan.stride,
        };
        Self {
            sums: vec![0.0; stride],
            yuv: [0; 3].map(|_| vec![0.0; pass.x.pixels as usize]),
            rgb: [0; 3].map(|_| vec![0.0; pass.width]),
            mixed: vec![0.0; pass.width * 3],
        }
    }
}

impl<'a> Pass<'a> {
    fn new(source: &Source<'a>, input: &ModelInput, width: usize, height: usize) -> Self {
        let (from_width, from_height) = source.size();
        let [x, y] = Span::both([from_width, from_height], [width as u32, height as u32], input.fit);
        let whole =
            |count: u32, span: Span| Axis::new(span.begin, span.length, span.pixels as usize, count as usize);
        let planes = match *source {
            Source::Picture(picture, colour) => {
                let [luma, u, v] = picture.planes();
                // Chroma has half as many samples. Horizontally, a chroma sample is centred on an even
                // column, so its near edge is half a pixel before that column's; vertically, it spans exactly
                // two rows.
                let across = || {
                    Axis::new(
                        (x.begin + 0.5) / 2.0,
                        x.length / 2.0,
                        x.pixels as usize,
                        from_width.div_ceil(2) as usize,
                    )
                };
                let down = || {
                    Axis::new(
                        y.begin / 2.0,
                        y.length / 2.0,
                        y.pixels as usize,
                        from_height.div_ceil(2) as usize,
                    )
                };
                Planes::Yuv {
                    luma: Plan::new(&luma, whole(from_width, x), whole(from_height, y)),
                    chroma: [u, v].map(|plane| Plan::new(&plane, across(), down())),
                    colour: FloatToRgb::new(colour.space(), SurfaceFormat::Nv12),
                }
            }
            Source::Rgb { pixels, channels, .. } => {
                let stride = from_width as usize * channels;
                let (across, down) = (whole(from_width, x), whole(from_height, y));
                Planes::Rgb { plan: Plan { samples: pixels, stride, across, down }, channels }
            }
        };
        let gain = input.std.map(|std| 1.0 / std);
        let bias = [0, 1, 2].map(|c| -input.mean[c] / input.std[c]);
        let padding = match input.fit {
            Fit::Letterbox(colour) => [0, 1, 2].map(|c| colour[c] * gain[c] + bias[c]),
            Fit::Crop | Fit::Stretch => [0.0; 3],
        };
        Self { planes, x, y, width, gain, bias, padding }
    }

    /// Computes row `y` of the output, which is row `row` of its band.
    fn row<T: Element>(&self, y: usize, row: usize, scratch: &mut Scratch, output: &mut Output<'_, T>) {
        let filled = self.x.first as usize..(self.x.first + self.x.pixels) as usize;
        for (rgb, &padding) in scratch.rgb.iter_mut().zip(&self.padding) {
            rgb[..filled.start].fill(padding);
            rgb[filled.end..].fill(padding);
        }
        let Some(index) =
            y.checked_sub(self.y.first as usize).filter(|index| *index < self.y.pixels as usize)
        else {
            for (rgb, &padding) in scratch.rgb.iter_mut().zip(&self.padding) {
                rgb[filled.clone()].fill(padding);
            }
            return output.store(row, &scratch.rgb, &mut scratch.mixed);
        };
        let [red, green, blue] = &mut scratch.rgb;
        let [red, green, blue] = [red, green, blue].map(|row| &mut row[filled.clone()]);
        match &self.planes {
            Planes::Yuv { luma, chroma, colour } => {
                let plans = std::iter::once(luma).chain(chroma);
                for (plan, out) in plans.zip(&mut scratch.yuv) {
                    let sums = &mut scratch.sums[..plan.stride];
                    down(plan.samples, plan.stride, plan.down.taps(index), sums);
                    plan.across.across(sums, 1, 0, out);
                }
                coloured(colour, &scratch.yuv, [red, green, blue]);
            }
            Planes::Rgb { plan, channels } => {
                down(plan.samples, plan.stride, plan.down.taps(index), &mut scratch.sums);
                for (c, out) in [red, green, blue].into_iter().enumerate() {
                    let offset = if *channels == 1 { 0 } else { c };
                    plan.across.across(&scratch.sums, *channels, offset, out);
                    out.iter_mut().for_each(|value| *value *= 1.0 / 255.0);
                }
            }
        }
        for (c, rgb) in scratch.rgb.iter_mut().enumerate() {
            let (gain, bias) = (self.gain[c], self.bias[c]);
            if (gain, bias) != (1.0, 0.0) {
                rgb[filled.clone()].iter_mut().for_each(|value| *value = *value * gain + bias);
            }
        }
        output.store(row, &scratch.rgb, &mut scratch.mixed);
    }
}

/// Converts a row of 8-bit Y'CbCr to R'G'B' from 0 to 1.
fn coloured(to_rgb: &FloatToRgb, yuv: &[Vec<f32>; 3], rgb: [&mut [f32]; 3]) {
    let &FloatToRgb { luma, red_cr, green_cb, green_cr, blue_cb, red: r0, green: g0, blue: b0 } = to_rgb;
    let [y, cb, cr] = yuv;
    let [red, green, blue] = rgb;
    let pixels = red.iter_mut().zip(green).zip(blue).zip(y).zip(cb).zip(cr);
    for (((((red, green), blue), y), cb), cr) in pixels {
        let y = luma * y;
        *red = (y + red_cr * cr + r0).clamp(0.0, 1.0);
        *green = (y + green_cb * cb + green_cr * cr + g0).clamp(0.0, 1.0);
        *blue = (y + blue_cb * cb + b0).clamp(0.0, 1.0);
    }
}
