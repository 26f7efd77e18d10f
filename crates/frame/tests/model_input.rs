//! The input of a model compared with a straightforward computation in f64, for any size, fit, layout and
//! colour space.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Tensor};
use cutrickle_frame::{I420, VideoFrame};
use cutrickle_media::{Colour, Element, Fit, Layout, Matrix, ModelInput, Size, Timestamp};

/// How far R'G'B' from 0 to 1 may be off before it is converted to the type of the elements.
const MAX_ERROR: f64 = 1.0 / 255.0;

/// A xorshift generator of random numbers with 64 bits, which gives the same sequence every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::from(end)).unwrap()
    }

    /// The length of a side in pixels. Some are tiny or odd.
    fn side(&mut self) -> u32 {
        match self.below(3) {
            0 => 1 + self.below(4),
            1 => 15 + self.below(4),
            _ => 1 + self.below(160),
        }
    }
}

fn picture(chance: &mut Chance, width: u32, height: u32) -> I420 {
    let mut picture = I420::new(width, height).unwrap();
    for plane in picture.planes_mut() {
        plane.data.iter_mut().for_each(|sample| *sample = chance.below(256) as u8);
    }
    picture
}

fn colours() -> Vec<Colour> {
    [Colour::BT601, Colour::BT709, Colour::BT2020]
        .into_iter()
        .flat_map(|colour| [colour, Colour { full_range: true, ..colour }])
        .collect()
}

/// Converts code values to R'G'B' from 0 to 1 (H.273, section 8.3).
fn rgb([y, cb, cr]: [f64; 3], colour: Colour) -> [f64; 3] {
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let (black, luma, chroma) = if colour.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let (y, cb, cr) = ((y - black) / luma, (cb - 128.0) / chroma, (cr - 128.0) / chroma);
    let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
    [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b].map(|c| c.clamp(0.0, 1.0))
}

/// The samples that contribute to pixel `i` of the output, with their weights. The `pixels` of the output
/// cover `length` of `count` samples from `begin` on. If there are more pixels than samples, each pixel lies
/// between two samples; otherwise it takes all samples that it covers. Beyond an edge the sample at that edge
/// is repeated.
fn taps(begin: f64, length: f64, pixels: usize, count: usize, i: usize) -> Vec<(usize, f64)> {
    let scale = length / pixels as f64;
    let clamp = |at: f64| at.clamp(0.0, count as f64 - 1.0) as usize;
    let from = begin + i as f64 * scale;
    if scale <= 1.0 {
        let middle = from + scale / 2.0 - 0.5;
        let part = middle - middle.floor();
        return vec![(clamp(middle.floor()), 1.0 - part), (clamp(middle.floor() + 1.0), part)];
    }
    let (to, mut at, mut taps) = (from + scale, from.floor(), Vec::new());
    while at < to {
        taps.push((clamp(at), ((at + 1.0).min(to) - at.max(from)) / scale));
        at += 1.0;
    }
    taps
}

/// Maps one axis of a picture: where the part that is used begins and how long it is in the picture's pixels,
/// and the first pixel and the number of pixels that it fills in the output.
type Span = (f64, f64, usize, usize);

fn spans(from: [f64; 2], to: [usize; 2], fit: Fit) -> [Span; 2] {
    let scales = [0, 1].map(|axis| to[axis] as f64 / from[axis]);
    [0, 1].map(|axis| match fit {
        Fit::Stretch => (0.0, from[axis], 0, to[axis]),
        Fit::Letterbox(_) => {
            let pixels = ((from[axis] * scales[0].min(scales[1])).round() as usize).clamp(1, to[axis]);
            (0.0, from[axis], (to[axis] - pixels) / 2, pixels)
        }
        Fit::Crop => {
            let length = (to[axis] as f64 / scales[0].max(scales[1])).min(from[axis]);
            ((from[axis] - length) / 2.0, length, 0, to[axis])
        }
    })
}

/// R'G'B' from 0 to 1 of the pixel at (`column`, `row`) in the output.
fn expected(picture: &I420, colour: Colour, input: &ModelInput, [column, row]: [usize; 2]) -> [f64; 3] {
    let from = [picture.width(), picture.height()];
    let Size { width, height } = input.size.unwrap_or(Size::new(from[0], from[1]));
    let [x, y] = spans(from.map(f64::from), [width as usize, height as usize], input.fit);
    let inside = |span: Span, at: usize| at.checked_sub(span.2).filter(|at| *at < span.3);
    let (Some(column), Some(row)) = (inside(x, column), inside(y, row)) else {
        let Fit::Letterbox(colour) = input.fit else { panic!("only a letterbox has padding") };
        return colour.map(f64::from);
    };
    let planes = picture.planes();
    let value = |plane: usize| {
        let (plane, chroma) = (&planes[plane], plane > 0);
        // Horizontally, the centre of a chroma sample is that of an even column (H.264, section E.2.1).
        // Vertically, the sample spans two rows.
        let (x_begin, y_begin, half) =
            if chroma { ((x.0 + 0.5) / 2.0, y.0 / 2.0, 2.0) } else { (x.0, y.0, 1.0) };
        let columns = taps(x_begin, x.1 / half, x.3, plane.width, column);
        let rows = taps(y_begin, y.1 / half, y.3, plane.height, row);
        let mut sum = 0.0;
        for (row, by_row) in &rows {
            for (column, by_column) in &columns {
                sum += by_row * by_column * f64::from(plane.data[row * plane.stride + column]);
            }
        }
        sum
    };
    rgb([value(0), value(1), value(2)], colour)
}

/// The elements of the tensor as f64, by channel, row and column.
fn values(tensor: &Tensor, layout: Layout) -> Vec<Vec<Vec<f64>>> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    match layout {
        Layout::Chw => tensor,
        Layout::Hwc => tensor.permute((2, 0, 1)).unwrap(),
    }
    .to_vec3()
    .unwrap()
}

/// Checks `samples` randomly chosen pixels of the output, or all of them if there are not more than that.
fn check(picture: &I420, colour: Colour, input: &ModelInput, chance: &mut Chance, samples: usize) {
    let frame = VideoFrame::from_i420(picture.clone(), colour, Timestamp::ZERO);
    let tensor = frame.to_model(input).unwrap();
    assert_eq!(tensor.dims(), input.shape(picture.width(), picture.height()));
    let (dtype, scale, step) = match input.element {
        Element::U8 => (DType::U8, 255.0, 0.0),
        Element::F16 => (DType::F16, 1.0, 2f64.powi(-11)),
        Element::Bf16 => (DType::BF16, 1.0, 2f64.powi(-9)),
        Element::F32 => (DType::F32, 1.0, 2f64.powi(-22)),
    };
    assert_eq!(tensor.dtype(), dtype);
    let got = values(&tensor, input.layout);
    let (height, width) = (got[0].len(), got[0][0].len());
    for n in 0..samples.min(width * height) {
        let at = if width * height <= samples { n } else { chance.below((width * height) as u32) as usize };
        let (column, row) = (at % width, at / width);
        for (c, want) in expected(picture, colour, input, [column, row]).into_iter().enumerate() {
            let (mean, std) = (f64::from(input.mean[c]), f64::from(input.std[c]));
            let (got, want) = (got[c][row][column], (want - mean) / std * scale);
            let cast = if input.element == Element::U8 { 0.5 } else { got.abs() * step };
            assert!(
                (got - want).abs() <= MAX_ERROR * scale / std + cast,
                "channel {c} at ({column}, {row}) of {}x{} {colour:?} as {input:?}: {got}, not {want}",
                picture.width(),
                picture.height()
            );
        }
    }
}

#[test]
fn every_layout_type_and_fit_is_as_the_standard_says_at_any_size() {
    let mut chance = Chance(71);
    let normal = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    for colour in colours() {
        for element in [Element::F32, Element::F16, Element::Bf16, Element::U8] {
            for layout in [Layout::Chw, Layout::Hwc] {
                for fit in [Fit::Stretch, Fit::Crop, Fit::Letterbox([0.1, 0.5, 0.9])] {
                    let (width, height) = (chance.side(), chance.side());
                    let picture = picture(&mut chance, width, height);
                    let size = (chance.below(4) > 0).then(|| Size::new(chance.side(), chance.side()));
                    let (mean, std) = if element == Element::U8 { ([0.0; 3], [1.0; 3]) } else { normal };
                    let input = ModelInput { size, fit, layout, element, mean, std };
                    check(&picture, colour, &input, &mut chance, 4000);
                }
            }
        }
    }
}

#[test]
fn pictures_up_to_4k_are_right_to_the_last_pixel_of_their_bands() {
    let mut chance = Chance(73);
    for (from, to) in [((3840, 2160), (641, 641)), ((1921, 1081), (1280, 720)), ((640, 360), (1921, 1080))] {
        let picture = picture(&mut chance, from.0, from.1);
        for fit in [Fit::Crop, Fit::Letterbox([0.0; 3])] {
            let input = ModelInput { fit, ..ModelInput::new(to.0, to.1) };
            check(&picture, Colour::BT709, &input, &mut chance, 3000);
        }
    }
}

#[test]
fn a_frame_that_was_replaced_gives_its_new_pixels() {
    let pixels: Vec<u8> = (0..4 * 6 * 3).map(|n| (n * 3) as u8).collect();
    let tensor = Tensor::from_vec(pixels.clone(), (4, 6, 3), &Device::Cpu).unwrap();
    let frame = VideoFrame::from_i420(I420::new(64, 48).unwrap(), Colour::BT709, Timestamp::ZERO);
    let frame = frame.replace_tensor(tensor).unwrap();
    let input = ModelInput { layout: Layout::Hwc, ..ModelInput::default() };
    let got: Vec<f32> = frame.to_model(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for (got, want) in got.iter().zip(pixels) {
        assert!((got * 255.0 - f32::from(want)).abs() < 1e-3, "{got} for {want}");
    }
}
