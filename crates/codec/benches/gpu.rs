//! A picture's way on a GPU beside the other ways: a model's input by one kernel and by candle's operations, and the time
//! from a coded picture to the encoder's input.
//!
//!     ROUNDS=20 cargo bench --package cutrickle-codec --features cuda --bench gpu
//!
//! Each line is the median of the rounds, or a percentile of all pictures where it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use cutrickle_codec::{Coding, EncoderConfig, VideoCodec, VideoUnit, open};
use cutrickle_frame::{Colour, I420, ModelInput, VideoFrame};

/// 1080p.
const SIZE: (u32, u32) = (1920, 1080);
const PICTURES: usize = 32;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

fn at_share(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Microseconds a picture of what `work` enqueues for all of `frames`, from the first call to the device's end.
fn time(device: &Device, frames: &[VideoFrame], mut work: impl FnMut(&VideoFrame) -> Tensor) -> f64 {
    let mut times = Vec::new();
    for round in 0..=rounds() {
        device.synchronize().unwrap();
        let started = Instant::now();
        // Kept, so that each is written to memory of its own.
        let kept: Vec<_> = frames.iter().map(&mut work).collect();
        device.synchronize().unwrap();
        if round > 0 {
            times.push(started.elapsed().as_secs_f64() * 1e6 / frames.len() as f64);
        }
        drop(kept);
    }
    at_share(&mut times, 0.5)
}

/// Pictures with something to code in them, as the host's encoder codes them.
fn coded(count: usize) -> Vec<(Vec<u8>, i64, bool)> {
    let (width, height) = SIZE;
    let (bitrate, colour, coding) = (6_000_000, Colour::BT709, Coding::default());
    let config = EncoderConfig { width, height, fps: 30.0, bitrate, coding, colour };
    let mut encoder = open::host_video_encoder(config).unwrap();
    let mut units = Vec::new();
    for n in 0..count {
        let mut picture = I420::new(width, height).unwrap();
        for plane in picture.planes_mut() {
            for (y, row) in plane.data.chunks_exact_mut(plane.width).enumerate() {
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = (((x + 4 * n) / 3) ^ ((y + n) / 5)) as u8;
                }
            }
        }
        let frame = VideoFrame::from_i420(picture, Colour::BT709, n as i64 * 3000);
        let unit = encoder.encode(&frame, n % 30 == 0).unwrap();
        units.push((unit.data.to_vec(), unit.timestamp, unit.keyframe));
    }
    units
}

fn models_input(device: &Device, frames: &[VideoFrame]) {
    let input = ModelInput { dtype: DType::F16, mean: MEAN, std: STD, ..ModelInput::new(640, 640) };
    let one = time(device, frames, |frame| frame.to_model(&input).unwrap());
    let mean = Tensor::new(&MEAN, device).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let std = Tensor::new(&STD, device).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let many = time(device, frames, |frame| {
        // A clone has the picture, and not the RGB that an earlier round converted.
        let chw = frame.clone().tensor().unwrap().permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
        let small = chw.to_dtype(DType::F32).unwrap().contiguous().unwrap();
        let small = small.upsample_bilinear2d(640, 640, false).unwrap();
        let unit = (small / 255.0).unwrap().broadcast_sub(&mean).unwrap().broadcast_div(&std).unwrap();
        unit.to_dtype(DType::F16).unwrap()
    });
    println!(
        "1080p to 640x640 f16 CHW: {one:.1} us by one kernel, {many:.1} us by a kernel and candle: {:.1} times",
        many / one
    );
}

/// From the last byte of a coded picture to its pixels, touched by the processor, in the encoder's input.
fn latency(device: &Device, units: &[(Vec<u8>, i64, bool)]) {
    let mut decoder = open::video_decoder(VideoCodec::H264, device).unwrap();
    let mut times = Vec::new();
    let gpu = cutrickle_frame::gpu(device).unwrap();
    let (width, height) = SIZE;
    let mut encoders_input =
        cutrickle_cuda::Picture::new(&gpu, cutrickle_cuda::kernels::SurfaceFormat::Nv12, width, height)
            .unwrap();
    let every = if rounds() < 5 { Duration::ZERO } else { Duration::from_secs(1) / 30 };
    let began = Instant::now();
    for (n, (data, timestamp, keyframe)) in units.iter().enumerate() {
        // As a live stream comes.
        std::thread::sleep((every * n as u32).saturating_sub(began.elapsed()));
        let unit = VideoUnit { data, timestamp: *timestamp, keyframe: *keyframe, damaged: false };
        let started = Instant::now();
        let mut frames = Vec::new();
        decoder.decode(&unit, &mut |frame| frames.push(frame)).unwrap();
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
    let units = coded(if rounds() < 5 { PICTURES } else { 300 });
    let mut decoder = open::video_decoder(VideoCodec::H264, &device).unwrap();
    let mut frames = Vec::new();
    for (data, timestamp, keyframe) in &units[..PICTURES] {
        let unit = VideoUnit { data, timestamp: *timestamp, keyframe: *keyframe, damaged: false };
        decoder.decode(&unit, &mut |frame| frames.push(frame)).unwrap();
    }
    models_input(&device, &frames);
    latency(&device, &units);
}
