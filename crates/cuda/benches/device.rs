//! What a device does in a second: the kernels beside a plain copy, and the decoder beside a bare loop over its library.
//!
//!     ROUNDS=20 cargo bench --package cutrickle-cuda --features cuda --bench device -- CLIP.h264
//!
//! CLIP.h264 is an Annex B byte stream in which every picture begins with an access unit delimiter (`ci/gpu.sh` makes
//! one); without it the decoder is left out. Times are the device's own, by events, with all of a round's work enqueued
//! before the device comes to it; each line is the median of the rounds. A picture of 1080p is so little work that a
//! device takes most of the time of one to begin and to end it: so each kernel is timed with one picture after another,
//! and with pictures on four streams, where they overlap; and so is a copy of as many bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

mod bare_cuvid;

use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::CudaSlice;
use cudarc::driver::sys::CUevent_flags;
use cutrickle_cuda::cudarc;
use cutrickle_cuda::kernels::{ColourSpace, Element, Fit, Layout, Matrix, ModelInput, SurfaceFormat};
use cutrickle_cuda::nvdec::{Codec, Decoder};
use cutrickle_cuda::{Gpu, HostPicture, Picture, Sample, TensorPixels};
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

/// Streams of one device, and the copy that keeps it busy while work for them is enqueued.
struct Lanes {
    gpus: Vec<Arc<Gpu>>,
    from: CudaSlice<u8>,
    to: CudaSlice<u8>,
}

impl Lanes {
    const MOST: usize = 4;
    /// Bytes of the copy.
    const LENGTH: usize = 256 << 20;
    /// About a millisecond of a fast device.
    const COPIES: usize = 8;

    fn new(first: &Arc<Gpu>) -> Self {
        let more = || Gpu::on(first.stream().context().new_stream().unwrap()).unwrap();
        let gpus = [Arc::clone(first)].into_iter().chain((1..Self::MOST).map(|_| more())).collect();
        let half = || first.stream().alloc_zeros::<u8>(Self::LENGTH).unwrap();
        Self { gpus, from: half(), to: half() }
    }

    /// The stream of the picture `number`, of so many streams.
    fn gpu(&self, number: usize, lanes: usize) -> &Arc<Gpu> {
        &self.gpus[number % lanes]
    }

    fn copy(&mut self) {
        self.gpus[0].stream().memcpy_dtod(&self.from, &mut self.to).unwrap();
    }

    /// Seconds that the device takes over what `work` enqueues on the streams: the median, after a round that does not
    /// count.
    fn time(&mut self, mut work: impl FnMut()) -> f64 {
        let mut times = Vec::new();
        for round in 0..=rounds() {
            (0..Self::COPIES).for_each(|_| self.copy());
            let first = self.gpus[0].stream();
            let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
            let start = first.record_event(timed).unwrap();
            self.gpus.iter().for_each(|gpu| gpu.stream().wait(&start).unwrap());
            work();
            for gpu in &self.gpus[1..] {
                first.wait(&gpu.stream().record_event(None).unwrap()).unwrap();
            }
            let end = first.record_event(timed).unwrap();
            let seconds = f64::from(start.elapsed_ms(&end).unwrap()) / 1e3;
            if round > 0 {
                times.push(seconds);
            }
        }
        median(times)
    }
}

/// Bytes a second, read and written, of a plain copy on the device.
fn copy_rate(lanes: &mut Lanes) -> f64 {
    let mut other = Lanes::new(&lanes.gpus[0]);
    let seconds = lanes.time(|| other.copy());
    2.0 * Lanes::LENGTH as f64 / seconds
}

/// Bytes by chance, xorshift: what devices take for zeros says nothing of pictures.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn pictures(lanes: &Lanes, of: usize, format: SurfaceFormat) -> Vec<Picture> {
    let (width, height) = SIZE;
    let pitch = width as usize * format.sample_size() as usize;
    let (luma, chroma) = (noise(pitch * height as usize), noise(pitch * height as usize / 2));
    let host = HostPicture { format, width, height, pitch, luma: &luma, chroma: &chroma };
    (0..PICTURES).map(|n| Picture::upload(lanes.gpu(n, of), &host).unwrap()).collect()
}

/// One line: the time of a picture and the share of a plain copy's rate, one after another and on several streams.
fn line(name: &str, bytes_a_picture: usize, seconds: [f64; 2], copy: f64) {
    let [one, several] = seconds.map(|seconds| {
        let rate = (bytes_a_picture * PICTURES) as f64 / seconds;
        let micros = seconds / PICTURES as f64 * 1e6;
        format!("{micros:.2} us, {:.0} GB/s, {:.0} %", rate / 1e9, 100.0 * rate / copy)
    });
    println!("{name}: one after another {one}; on {} streams {several}", Lanes::MOST);
}

const LANES: [usize; 2] = [1, Lanes::MOST];

fn kernels(gpu: &Arc<Gpu>) {
    let mut lanes = Lanes::new(gpu);
    let copy = copy_rate(&mut lanes);
    println!("copy on the device: {:.0} GB/s read and written, which is 100 % below", copy / 1e9);
    let (width, height) = SIZE;
    let pixels = (width * height) as usize;
    let seconds = LANES.map(|of| {
        let half = |n| lanes.gpu(n, of).stream().alloc_zeros::<u8>(pixels * 9 / 4).unwrap();
        let from: Vec<_> = (0..PICTURES).map(half).collect();
        let mut to: Vec<_> = (0..PICTURES).map(half).collect();
        let streams: Vec<_> = (0..PICTURES).map(|n| Arc::clone(lanes.gpu(n, of))).collect();
        lanes.time(|| {
            for ((from, to), gpu) in from.iter().zip(&mut to).zip(&streams) {
                gpu.stream().memcpy_dtod(from, to).unwrap();
            }
        })
    });
    line("copy of as much as Nv12 and RGB u8", pixels * 9 / 2, seconds, copy);
    for format in [SurfaceFormat::Nv12, SurfaceFormat::P010] {
        let picture_bytes = pixels * 3 / 2 * format.sample_size() as usize;
        let seconds = LANES.map(|of| {
            let pictures = pictures(&lanes, of, format);
            let mut kept: Vec<_> = pictures.iter().map(|p| p.to_rgb(COLOUR).unwrap()).collect();
            lanes.time(|| {
                for (picture, kept) in pictures.iter().zip(&mut kept) {
                    *kept = picture.to_rgb(COLOUR).unwrap();
                }
            })
        });
        line(&format!("{format:?} to RGB u8"), picture_bytes + 3 * pixels, seconds, copy);
        for (width, height) in [SIZE, (640, 640)] {
            let input = ModelInput {
                width,
                height,
                layout: Layout::Chw,
                element: Element::F16,
                fit: Fit::Stretch,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            };
            let seconds = LANES.map(|of| {
                let pictures = pictures(&lanes, of, format);
                let convert = |picture: &Picture| picture.to_model::<f16>(COLOUR, &input).unwrap();
                let mut kept: Vec<_> = pictures.iter().map(convert).collect();
                lanes.time(|| {
                    for (picture, kept) in pictures.iter().zip(&mut kept) {
                        *kept = convert(picture);
                    }
                })
            });
            let bytes = picture_bytes + (width * height) as usize * 6;
            line(&format!("{format:?} to {width}x{height} f16 CHW"), bytes, seconds, copy);
        }
    }
    let noise = noise(3 * pixels);
    let unit = |byte: &u8| f32::from(*byte) / 255.0;
    let halves: Vec<_> = noise.iter().map(|byte| f16::from_f32(unit(byte))).collect();
    let floats: Vec<_> = noise.iter().map(unit).collect();
    to_nv12::<u8>(&mut lanes, &noise, copy);
    to_nv12::<f16>(&mut lanes, &halves, copy);
    to_nv12::<f32>(&mut lanes, &floats, copy);
}

fn to_nv12<T: Sample>(lanes: &mut Lanes, rgb: &[T], copy: f64) {
    let (width, height) = SIZE;
    let pixels = (width * height) as usize;
    let seconds = LANES.map(|of| {
        let mut pictures = pictures(lanes, of, SurfaceFormat::Nv12);
        let upload = |n| lanes.gpu(n, of).stream().clone_htod(rgb).unwrap();
        let rgb: Vec<_> = (0..PICTURES).map(upload).collect();
        lanes.time(|| {
            for (picture, rgb) in pictures.iter_mut().zip(&rgb) {
                let row_stride = 3 * width as usize;
                let rgb = TensorPixels { values: rgb, offset: 0, row_stride, width, height, channels: 3 };
                picture.fill(&rgb, COLOUR).unwrap();
            }
        })
    });
    let bytes = pixels * 3 / 2 + 3 * pixels * size_of::<T>();
    line(&format!("RGB {:?} to NV12", T::ELEMENT), bytes, seconds, copy);
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
