//! What a device does in a second: the kernels beside a plain copy, and the decoder beside a bare loop over its library.
//!
//!     ROUNDS=20 cargo bench --package cutrickle-cuda --features cuda --bench device -- CLIP.h264
//!
//! CLIP.h264 is an Annex B byte stream in which every picture begins with an access unit delimiter (`ci/gpu.sh` makes
//! one); without it the decoder is left out. Times are the device's own, by events; each line is the median of the rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

mod bare_cuvid;

use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::sys::CUevent_flags;
use cutrickle_cuda::cudarc;
use cutrickle_cuda::kernels::{ColourSpace, Element, Fit, Layout, Matrix, ModelInput, SurfaceFormat};
use cutrickle_cuda::nvdec::{Codec, Decoder};
use cutrickle_cuda::{Gpu, Picture, TensorPixels};
use half::f16;

/// 1080p.
const SIZE: (u32, u32) = (1920, 1080);
/// Pictures in turn: together more than any device's cache.
const PICTURES: usize = 32;
const COLOUR: ColourSpace = ColourSpace { matrix: Matrix::Bt709, full_range: false };

fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that the device takes over what `work` enqueues: the median, after one round that does not count.
fn time(gpu: &Gpu, mut work: impl FnMut()) -> f64 {
    let stream = gpu.stream();
    let mut times = Vec::new();
    for round in 0..=rounds() {
        let start = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
        work();
        let end = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
        let seconds = f64::from(start.elapsed_ms(&end).unwrap()) / 1e3;
        if round > 0 {
            times.push(seconds);
        }
    }
    median(times)
}

/// Bytes a second, read and written, of a plain copy on the device.
fn copy_rate(gpu: &Gpu) -> f64 {
    let length = 256 << 20;
    let from = gpu.stream().alloc_zeros::<u8>(length).unwrap();
    let mut to = gpu.stream().alloc_zeros::<u8>(length).unwrap();
    let seconds = time(gpu, || gpu.stream().memcpy_dtod(&from, &mut to).unwrap());
    2.0 * length as f64 / seconds
}

/// One line: the time of a picture and the share of a plain copy's rate.
fn line(name: &str, bytes_a_picture: usize, seconds: f64, copy: f64) {
    let rate = (bytes_a_picture * PICTURES) as f64 / seconds;
    let micros = seconds / PICTURES as f64 * 1e6;
    println!(
        "{name}: {micros:.2} us a picture, {:.0} GB/s, {:.0} % of a copy",
        rate / 1e9,
        100.0 * rate / copy
    );
}

fn kernels(gpu: &Arc<Gpu>) {
    let copy = copy_rate(gpu);
    println!("copy on the device: {:.0} GB/s read and written", copy / 1e9);
    let (width, height) = SIZE;
    let pixels = (width * height) as usize;
    for format in [SurfaceFormat::Nv12, SurfaceFormat::P010] {
        let pictures: Vec<_> =
            (0..PICTURES).map(|_| Picture::new(gpu, format, width, height).unwrap()).collect();
        let picture_bytes = pixels * 3 / 2 * format.sample_size() as usize;
        let mut kept: Vec<_> = pictures.iter().map(|p| p.to_rgb(COLOUR).unwrap()).collect();
        let seconds = time(gpu, || {
            for (picture, kept) in pictures.iter().zip(&mut kept) {
                *kept = picture.to_rgb(COLOUR).unwrap();
            }
        });
        line(&format!("{format:?} to RGB u8"), picture_bytes + 3 * pixels, seconds, copy);
        let input = |width, height| ModelInput {
            width,
            height,
            layout: Layout::Chw,
            element: Element::F16,
            fit: Fit::Stretch,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        };
        for (width, height) in [SIZE, (640, 640)] {
            let input = input(width, height);
            let mut kept: Vec<_> =
                pictures.iter().map(|p| p.to_model::<f16>(COLOUR, &input).unwrap()).collect();
            let seconds = time(gpu, || {
                for (picture, kept) in pictures.iter().zip(&mut kept) {
                    *kept = picture.to_model::<f16>(COLOUR, &input).unwrap();
                }
            });
            let bytes = picture_bytes + (width * height) as usize * 6;
            line(&format!("{format:?} to {width}x{height} f16 CHW"), bytes, seconds, copy);
        }
    }
    let mut pictures: Vec<_> =
        (0..PICTURES).map(|_| Picture::new(gpu, SurfaceFormat::Nv12, width, height).unwrap()).collect();
    let rgb: Vec<_> = (0..PICTURES).map(|_| gpu.stream().alloc_zeros::<u8>(3 * pixels).unwrap()).collect();
    let seconds = time(gpu, || {
        for (picture, rgb) in pictures.iter_mut().zip(&rgb) {
            let row_stride = 3 * width as usize;
            let rgb = TensorPixels { values: rgb, offset: 0, row_stride, width, height, channels: 3 };
            picture.fill(&rgb, COLOUR).unwrap();
        }
    });
    line("RGB u8 to NV12", pixels * 9 / 2, seconds, copy);
}

/// The pictures of a byte stream, by their delimiters.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let delimiter = [0, 0, 0, 1, 9];
    let mut begins: Vec<usize> = stream
        .windows(delimiter.len())
        .enumerate()
        .filter(|(_, w)| *w == delimiter)
        .map(|(at, _)| at)
        .collect();
    begins.push(stream.len());
    begins.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

fn decoder(gpu: &Arc<Gpu>, clip: &str) {
    let stream = std::fs::read(clip).unwrap_or_else(|e| panic!("{clip}: {e}"));
    let units = units(&stream);
    assert!(units.len() > 1, "{clip} has no access unit delimiters");
    let rounds = rounds().min(5);
    let rate = |work: &mut dyn FnMut()| {
        let mut rates = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            work();
            rates.push(units.len() as f64 / started.elapsed().as_secs_f64());
        }
        median(rates)
    };
    let bare = rate(&mut || bare_cuvid::decode(gpu, &units));
    let ours = rate(&mut || {
        let mut decoder = Decoder::new(gpu, Codec::H264).unwrap();
        let mut count = 0;
        for unit in &units {
            let keyframe = unit.windows(4).any(|w| w[..3] == [0, 0, 1] && w[3] & 31 == 5);
            decoder.decode(unit, keyframe, &mut |_| count += 1).unwrap();
        }
        gpu.stream().synchronize().unwrap();
        assert_eq!(count, units.len());
    });
    println!(
        "decoding {} pictures: {ours:.0} a second, a bare loop {bare:.0}: {:.1} %",
        units.len(),
        100.0 * ours / bare
    );
}

fn main() {
    let gpu = Gpu::open(0).expect("a device");
    println!("{}, {} rounds", gpu.name().unwrap(), rounds());
    kernels(&gpu);
    // Cargo adds an argument of its own.
    match std::env::args().skip(1).find(|argument| argument != "--bench") {
        Some(clip) => decoder(&gpu, &clip),
        None => println!("decoding: no clip was named"),
    }
}
