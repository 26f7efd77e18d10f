//! What it costs to process frames on a GPU: the input of a model made by one kernel and by operations of
//! candle, and the time from an access unit to the input of the encoder.
//!
//!     ROUNDS=20 cargo bench --package cutrickle-codec --features cuda --bench gpu
//!
//! Each line shows the median of the rounds, unless it names a percentile of all frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use cutrickle_codec::{Backends, Coding, EncoderConfig};
use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Element, ModelInput, Size, Timestamp, VideoCodec};

/// 1080p.
const SIZE: Size = Size::new(1920, 1080);
const FRAMES: usize = 32;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

fn at_share(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Microseconds per frame for what `work` enqueues, until the device has finished all frames.
fn time(device: &Device, frames: &[VideoFrame], mut work: impl FnMut(&VideoFrame) -> Tensor) -> f64 {
    let mut times = Vec::new();
    for round in 0..=rounds() {
        device.synchronize().unwrap();
        let started = Instant::now();
        // The tensors are kept, so that each of them has memory of its own.
        let kept: Vec<_> = frames.iter().map(&mut work).collect();
        device.synchronize().unwrap();
        if round > 0 {
            times.push(started.elapsed().as_secs_f64() * 1e6 / frames.len() as f64);
        }
        drop(kept);
    }
    at_share(&mut times, 0.5)
}

/// Frames with enough detail to be worth encoding, encoded on the CPU.
fn coded(count: usize) -> Vec<AccessUnit> {
    let (bitrate, colour, coding) = (6_000_000, Colour::BT709, Coding::default());
    let config = EncoderConfig { size: SIZE, fps: 30.0, bitrate, coding, colour };
    let mut encoder = Backends::builtin().open_video_encoder(config, &Device::Cpu).unwrap();
    let mut units = Vec::new();
    for n in 0..count {
        let mut picture = I420::new(SIZE.width, SIZE.height).unwrap();
        for plane in picture.planes_mut() {
            for (y, row) in plane.data.chunks_exact_mut(plane.width).enumerate() {
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = (((x + 4 * n) / 3) ^ ((y + n) / 5)) as u8;
                }
            }
        }
        let timestamp = Timestamp::from_ticks(n as i64 * 3000);
        let frame = VideoFrame::from_i420(picture, Colour::BT709, timestamp);
        units.push(encoder.encode(&frame, n % 30 == 0).unwrap());
    }
    units
}

fn models_input(device: &Device, frames: &[VideoFrame]) {
    let input = ModelInput { element: Element::F16, mean: MEAN, std: STD, ..ModelInput::new(640, 640) };
    let one = time(device, frames, |frame| frame.to_model(&input).unwrap());
    let mean = Tensor::new(&MEAN, device).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let std = Tensor::new(&STD, device).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let many = time(device, frames, |frame| {
        // Converts a clone, so that the frame itself does not keep the RGB pixels for the next round.
        let chw = frame.clone().tensor().unwrap().permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
        let small = chw.to_dtype(DType::F32).unwrap().contiguous().unwrap();
        let small = small.upsample_bilinear2d(640, 640, false).unwrap();
        let unit = (small / 255.0).unwrap().broadcast_sub(&mean).unwrap().broadcast_div(&std).unwrap();
        unit.to_dtype(DType::F16).unwrap()
    });
    println!(
        "1080p to 640x640 f16 CHW: {one:.1} us by one kernel, {many:.1} us by a kernel and candle: \
         {:.1} times",
        many / one
    );
}

/// The time from the last byte of an access unit until its pixels, changed by a processor, are in the input
/// of the encoder.
fn latency(device: &Device, units: &[AccessUnit]) {
    let mut decoder = Backends::builtin().open_video_decoder(VideoCodec::H264, device).unwrap();
    let mut times = Vec::new();
    let gpu = cutrickle_frame::gpu(device).unwrap();
    let Size { width, height } = SIZE;
    let mut encoders_input =
        cutrickle_cuda::Picture::new(&gpu, cutrickle_cuda::kernels::SurfaceFormat::Nv12, width, height)
            .unwrap();
    let every = if rounds() < 5 { Duration::ZERO } else { Duration::from_secs(1) / 30 };
    let began = Instant::now();
    for (n, unit) in units.iter().enumerate() {
        // Units arrive at the pace of a live stream.
        std::thread::sleep((every * n as u32).saturating_sub(began.elapsed()));
        let started = Instant::now();
        let mut frames = Vec::new();
        decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
        for frame in frames {
            let rgb = frame.tensor().unwrap().to_dtype(DType::F32).unwrap();
            let touched = (255.0 - rgb).unwrap().to_dtype(DType::U8).unwrap();
            frame.replace_tensor(touched).unwrap().write_to(&mut encoders_input).unwrap();
        }
        device.synchronize().unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p99) = (at_share(&mut times, 0.5), at_share(&mut times, 0.99));
    println!("1080p30, decoded, inverted, in the encoder's input: {p50:.2} ms at p50, {p99:.2} ms at p99");
}

fn main() {
    let device = cutrickle_frame::cuda_device(0).expect("a device");
    println!("{}, {} rounds", cutrickle_frame::gpu(&device).unwrap().name().unwrap(), rounds());
    let units = coded(if rounds() < 5 { FRAMES } else { 300 });
    let mut decoder = Backends::builtin().open_video_decoder(VideoCodec::H264, &device).unwrap();
    let mut frames = Vec::new();
    for unit in &units[..FRAMES] {
        decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
    }
    models_input(&device, &frames);
    latency(&device, &units);
}
