//! Converting NV12 and P010 to models' inputs.

use cutrickle_cuda::kernels::{Grid, SurfaceFormat};
use cutrickle_host_kernels::{ModelOutput, take_accesses, yuv_to_model};
use cutrickle_media::{Element, Fit, Layout, ModelInput, Size};

use crate::canvas::{Canvas, Place};
use crate::chance::{Chance, colour_spaces};
use crate::reference;
use crate::scene::Scene;

const ELEMENTS: [Element; 3] = [Element::F16, Element::Bf16, Element::F32];
const LAYOUTS: [Layout; 2] = [Layout::Chw, Layout::Hwc];
const FORMATS: [SurfaceFormat; 2] = [SurfaceFormat::Nv12, SurfaceFormat::P010];
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A quarter of the required tolerance, for R'G'B' of 0 to 1.
const TOLERANCE: f64 = 0.25 / 255.0;

fn fits(chance: &mut Chance) -> [Fit; 3] {
    let colour = [0; 3].map(|_: u32| chance.between(0, 255) as f32 / 255.0);
    [Fit::Letterbox(colour), Fit::Crop, Fit::Stretch]
}

/// The width and height of the tensor for a scene.
fn output_size(scene: &Scene, input: &ModelInput) -> (usize, usize) {
    let Size { width, height } = input.size_of(scene.width, scene.height);
    (width as usize, height as usize)
}

/// Converts a scene. Returns the tensor as (3, height, width) bit patterns, whatever its layout.
fn convert(
    scene: &Scene,
    input: &ModelInput,
    from: Place,
    to: Place,
    fill: u8,
    grid: Option<Grid>,
) -> Vec<u32> {
    let source = scene.place(from, &mut Chance::new(u64::from(fill)));
    let size = input.element.size() as usize;
    let (width, height) = output_size(scene, input);
    // Planes that follow one another are rows as well.
    let (row, rows) = if input.layout == Layout::Chw { (width, 3 * height) } else { (3 * width, height) };
    let mut canvas = Canvas::new(row * size, rows, to.of_elements(size), fill);
    let row_stride = canvas.pitch() / size;
    let output =
        ModelOutput { bytes: canvas.rows_mut().bytes, row_stride, plane_stride: row_stride * height };
    yuv_to_model(&source.picture(), input, output, grid).unwrap();
    let elements: Vec<u32> = canvas
        .take()
        .chunks(size)
        .map(|bytes| match *bytes {
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("floats have two or four bytes"),
        })
        .collect();
    match input.layout {
        Layout::Chw => elements,
        Layout::Hwc => {
            (0..3).flat_map(|c| elements.iter().skip(c).step_by(3).copied().collect::<Vec<_>>()).collect()
        }
    }
}

/// One axis of a conversion: the part of the frame that is read, in its pixels, and the part of the output
/// that is filled.
#[derive(Debug, PartialEq)]
struct Span {
    begin: f64,
    length: f64,
    first: usize,
    pixels: usize,
}

fn spans(scene: &Scene, input: &ModelInput) -> [Span; 2] {
    let from = [scene.width, scene.height].map(f64::from);
    let Size { width, height } = input.size_of(scene.width, scene.height);
    let to = [width, height].map(f64::from);
    let scales = [to[0] / from[0], to[1] / from[1]];
    [0, 1].map(|axis| match input.fit {
        Fit::Stretch => Span { begin: 0.0, length: from[axis], first: 0, pixels: to[axis] as usize },
        Fit::Letterbox(_) => {
            let pixels = (from[axis] * scales[0].min(scales[1])).round().max(1.0) as usize;
            Span { begin: 0.0, length: from[axis], first: (to[axis] as usize - pixels) / 2, pixels }
        }
        Fit::Crop => {
            let length = (to[axis] / scales[0].max(scales[1])).min(from[axis]);
            Span { begin: (from[axis] - length) / 2.0, length, first: 0, pixels: to[axis] as usize }
        }
    })
}

/// The weights with which each pixel of the output takes the `count` samples. `begin` and `length` are in
/// samples, counted from the near edge of the first one.
fn weights(begin: f64, length: f64, pixels: usize, count: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = length / pixels as f64;
    let clamp = |index: f64| index.clamp(0.0, count as f64 - 1.0) as usize;
    (0..pixels)
        .map(|i| {
            let from = begin + i as f64 * scale;
            if scale > 1.0 {
                let to = from + scale;
                let mut taps = Vec::new();
                let mut at = from.floor();
                while at < to {
                    taps.push((clamp(at), ((at + 1.0).min(to) - at.max(from)) / scale));
                    at += 1.0;
                }
                taps
            } else {
                let middle = from + scale / 2.0 - 0.5;
                let part = middle - middle.floor();
                vec![(clamp(middle.floor()), 1.0 - part), (clamp(middle.floor() + 1.0), part)]
            }
        })
        .collect()
}

type Axis = Vec<Vec<(usize, f64)>>;

fn resampled(across: &Axis, down: &Axis, sample: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut values = Vec::with_capacity(across.len() * down.len());
    for rows in down {
        for columns in across {
            let mut sum = 0.0;
            for &(y, by_y) in rows {
                for &(x, by_x) in columns {
                    sum += by_y * by_x * sample(x, y);
                }
            }
            values.push(sum);
        }
    }
    values
}

/// The R'G'B' (0 to 1) of the output's pixels, as (3, height, width).
fn expected(scene: &Scene, input: &ModelInput) -> Vec<f64> {
    let (width, height) = output_size(scene, input);
    let [x, y] = spans(scene, input);
    let (columns, rows) = (scene.width as usize, scene.height as usize);
    let luma_x = weights(x.begin, x.length, x.pixels, columns);
    let luma_y = weights(y.begin, y.length, y.pixels, rows);
    // Chroma has half as many samples. Its first sample covers the columns from -0.5 to 1.5 and the rows from
    // 0 to 2.
    let chroma_x = weights((x.begin + 0.5) / 2.0, x.length / 2.0, x.pixels, columns.div_ceil(2));
    let chroma_y = weights(y.begin / 2.0, y.length / 2.0, y.pixels, rows.div_ceil(2));
    let luma = resampled(&luma_x, &luma_y, |x, y| scene.y(x, y));
    let cb = resampled(&chroma_x, &chroma_y, |x, y| scene.cb_cr(x, y)[0]);
    let cr = resampled(&chroma_x, &chroma_y, |x, y| scene.cb_cr(x, y)[1]);
    let padding = match input.fit {
        Fit::Letterbox(colour) => colour.map(f64::from),
        Fit::Crop | Fit::Stretch => [f64::NAN; 3],
    };
    let mut out: Vec<f64> = padding.iter().flat_map(|&c| vec![c; width * height]).collect();
    for i in 0..x.pixels * y.pixels {
        let at = (y.first + i / x.pixels) * width + x.first + i % x.pixels;
        let rgb = reference::to_rgb(scene.colour, scene.format.depth(), [luma[i], cb[i], cr[i]]);
        for (c, value) in rgb.into_iter().enumerate() {
            out[c * width * height + at] = value.clamp(0.0, 1.0);
        }
    }
    out
}

fn assert_right(scene: &Scene, input: &ModelInput, got: &[u32]) {
    let want = expected(scene, input);
    assert_eq!(got.len(), want.len());
    let plane = got.len() / 3;
    for (i, (&bits, want)) in got.iter().zip(want).enumerate() {
        let (mean, std) = (f64::from(input.mean[i / plane]), f64::from(input.std[i / plane]));
        let want = (want - mean) / std;
        // Half the distance between neighbouring values of the type, relative to the value.
        let (got, step) = match input.element {
            Element::F16 => (reference::half(bits as u16), 2f64.powi(-11)),
            Element::Bf16 => (reference::bfloat(bits as u16), 2f64.powi(-9)),
            _ => (f64::from(f32::from_bits(bits)), 2f64.powi(-24)),
        };
        let allowed = TOLERANCE / std.abs() + got.abs() * step * 1.01;
        assert!(
            (got - want).abs() <= allowed,
            "{}x{} {:?} {:?} as {input:?}: element {i} is {got}, not {want}",
            scene.width,
            scene.height,
            scene.format,
            scene.colour
        );
    }
}

#[test]
fn every_type_layout_and_fit_is_as_the_standard_says_at_any_size() {
    let mut chance = Chance::new(21);
    for colour in colour_spaces() {
        for format in FORMATS {
            for element in ELEMENTS {
                for layout in LAYOUTS {
                    for fit in fits(&mut chance) {
                        for _ in 0..2 {
                            let size = (chance.side(), chance.side());
                            let scene = Scene::new(&mut chance, size, format, colour);
                            let model = Some(Size::new(chance.side(), chance.side()));
                            let (mean, std) =
                                chance.one_of(&[(MEAN, STD), ([0.0; 3], [1.0; 3]), ([0.5; 3], [0.5; 3])]);
                            let input = ModelInput { size: model, layout, element, fit, mean, std };
                            let got = convert(&scene, &input, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
                            assert_right(&scene, &input, &got);
                            for place in Place::ALL {
                                let to = chance.one_of(&Place::ALL);
                                let again = convert(&scene, &input, place, to, 0x5A, Some(chance.grid()));
                                assert!(again == got, "{size:?} as {input:?}, {place:?} to {to:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn large_pictures_are_right_shrunk_and_enlarged() {
    let mut chance = Chance::new(22);
    let cases = [
        ((3840, 2160), (512, 512), Fit::Letterbox([0.5; 3]), SurfaceFormat::Nv12, Element::F16, Layout::Chw),
        ((3839, 2161), (641, 383), Fit::Crop, SurfaceFormat::P010, Element::F32, Layout::Hwc),
        ((1920, 1080), (1280, 720), Fit::Stretch, SurfaceFormat::Nv12, Element::Bf16, Layout::Hwc),
        ((640, 360), (2560, 1440), Fit::Crop, SurfaceFormat::Nv12, Element::F32, Layout::Chw),
        ((4095, 17), (3840, 16), Fit::Stretch, SurfaceFormat::P010, Element::F32, Layout::Chw),
        ((16_384, 3), (9001, 2), Fit::Stretch, SurfaceFormat::Nv12, Element::F32, Layout::Chw),
    ];
    for (from, (width, height), fit, format, element, layout) in cases {
        let colour = chance.one_of(&colour_spaces());
        let scene = Scene::new(&mut chance, from, format, colour);
        let size = Some(Size::new(width, height));
        let input = ModelInput { size, layout, element, fit, mean: MEAN, std: STD };
        let got = convert(&scene, &input, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
        assert_right(&scene, &input, &got);
    }
}

#[test]
fn a_tiny_picture_of_a_huge_one_and_the_reverse() {
    let mut chance = Chance::new(23);
    for (from, (width, height)) in
        [((2049, 1033), (1, 1)), ((1, 1), (300, 200)), ((3, 2001), (5, 7)), ((2, 2), (513, 1))]
    {
        for fit in fits(&mut chance) {
            let scene = Scene::new(&mut chance, from, SurfaceFormat::Nv12, colour_spaces()[2]);
            let input = ModelInput { fit, mean: MEAN, std: STD, ..ModelInput::new(width, height) };
            let got = convert(&scene, &input, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
            assert_right(&scene, &input, &got);
        }
    }
}

#[test]
fn a_flat_picture_stays_flat_whatever_its_size() {
    for (width, height) in [(1, 1), (33, 61), (240, 135), (1000, 7)] {
        for format in FORMATS {
            let top = if format == SurfaceFormat::P010 { 4 } else { 1 };
            let scene =
                Scene::flat((1919, 541), format, colour_spaces()[2], [140 * top, 100 * top, 160 * top]);
            let input = ModelInput::new(width, height);
            let got = convert(&scene, &input, Place::ALIGNED, Place::ALIGNED, 0, None);
            for plane in got.chunks((width * height) as usize) {
                let values = plane.iter().map(|&bits| f32::from_bits(bits));
                let (low, high) =
                    values.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
                // Sums over many rows are rounded a few times, each time by less than 1e-7.
                assert!(high - low < 1e-5, "{width}x{height} {format:?}: {low} to {high}");
            }
        }
    }
}

#[test]
fn shapes_are_kept_as_the_fit_says() {
    let scene = |width, height| {
        Scene::new(&mut Chance::new(24), (width, height), SurfaceFormat::Nv12, colour_spaces()[2])
    };
    let input = |fit| ModelInput { fit, ..ModelInput::new(512, 512) };
    // A wide frame fills 288 of 512 rows, and a tall one 288 of 512 columns.
    let grey = 0.25;
    for (size, across) in [((192, 108), false), ((108, 192), true)] {
        let got = convert(
            &scene(size.0, size.1),
            &input(Fit::Letterbox([grey; 3])),
            Place::ALIGNED,
            Place::ALIGNED,
            0,
            None,
        );
        let padded = |at: usize| {
            (0..512).all(|i| got[if across { i * 512 + at } else { at * 512 + i }] == grey.to_bits())
        };
        assert_eq!(
            (0..512).filter(|&at| padded(at)).collect::<Vec<_>>(),
            (0..112).chain(400..512).collect::<Vec<_>>()
        );
    }
    // A crop takes the middle 1080 of 1920 columns.
    let whole = spans(&scene(1920, 1080), &input(Fit::Crop));
    assert_eq!(whole[0], Span { begin: 420.0, length: 1080.0, first: 0, pixels: 512 });
    assert_eq!(whole[1], Span { begin: 0.0, length: 1080.0, first: 0, pixels: 512 });
}

#[test]
fn memory_is_reached_by_elements_and_by_sixteen_bytes_where_a_picture_keeps_its_size() {
    let mut chance = Chance::new(25);
    let scene = Scene::new(&mut chance, (20, 10), SurfaceFormat::Nv12, colour_spaces()[0]);
    let small = Scene::new(&mut chance, (64, 6), SurfaceFormat::Nv12, colour_spaces()[0]);
    for element in ELEMENTS {
        for layout in LAYOUTS {
            let (size, fit) = (Some(Size::new(64, 6)), Fit::Stretch);
            let input = ModelInput { size, layout, element, fit, mean: MEAN, std: STD };
            take_accesses();
            let elements = 3 * 64 * 6;
            let by_element = if element == Element::F32 { [0, elements, 0] } else { [elements, 0, 0] };
            for place in [Place::ALIGNED, Place::BY_FOUR] {
                convert(&scene, &input, Place::ALIGNED, place, 0, None);
                assert_eq!(take_accesses(), by_element);
            }
            convert(&small, &input, Place::ALIGNED, Place::ALIGNED, 0, None);
            // Each of the eight columns of blocks takes two accesses to chroma in each of four steps, and one
            // in each of six rows to luma and to the three planes.
            let by_block = [0, 0, 8 * (4 * 2 + 6 + 6 * 3)];
            assert_eq!(take_accesses(), if layout == Layout::Chw { by_block } else { by_element });
        }
    }
}

#[test]
fn a_picture_that_keeps_its_size_is_right_and_the_same_bits_wherever_it_lies() {
    let mut chance = Chance::new(27);
    for colour in colour_spaces() {
        for format in FORMATS {
            for element in ELEMENTS {
                for size in [(8, 1), (8, 2), (16, 3), (40, 24), (264, 61), (1920, 2)] {
                    let scene = Scene::new(&mut chance, size, format, colour);
                    let fit = chance.one_of(&fits(&mut Chance::new(1)));
                    let own = ModelInput::new(size.0, size.1);
                    let input = ModelInput { element, fit, mean: MEAN, std: STD, ..own };
                    // The kernel works in blocks, which it writes at once or in parts, and otherwise sample
                    // by sample.
                    let got = convert(&scene, &input, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
                    assert_right(&scene, &input, &got);
                    for (from, to) in [
                        (Place::ALIGNED, Place::BY_FOUR),
                        (Place::ALIGNED, Place::BY_ONE),
                        (Place::BY_ONE, Place::ALIGNED),
                    ] {
                        let again = convert(&scene, &input, from, to, 0x5A, Some(chance.grid()));
                        assert!(again == got, "{size:?} as {input:?}, {from:?} to {to:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_no_kernel_can_do_is_refused_by_name() {
    let scene = Scene::new(&mut Chance::new(26), (20, 10), SurfaceFormat::Nv12, colour_spaces()[0]);
    let source = scene.place(Place::ALIGNED, &mut Chance::new(1));
    let right = ModelInput { fit: Fit::Crop, mean: MEAN, std: STD, ..ModelInput::new(8, 8) };
    let refusal = |input: ModelInput, misaligned: usize| {
        let mut bytes = Canvas::new(2048, 1, Place { address: misaligned, ..Place::ALIGNED }, 0);
        let output = ModelOutput { bytes: bytes.rows_mut().bytes, row_stride: 8, plane_stride: 64 };
        yuv_to_model(&source.picture(), &input, output, None).unwrap_err().to_string()
    };
    assert!(refusal(ModelInput { element: Element::U8, ..right }, 0).contains("u8"));
    assert!(refusal(ModelInput { std: [1.0, 0.0, 1.0], ..right }, 0).contains("0.0"));
    assert!(refusal(ModelInput { size: Some(Size::new(0, 8)), ..right }, 0).contains("0x8"));
    assert!(refusal(ModelInput { size: Some(Size::new(8, 20_000)), ..right }, 0).contains("8x20000"));
    assert!(refusal(right, 2).contains("an element has 4"));
}
