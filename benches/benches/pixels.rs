//! What a frame costs on the CPU between decoder and encoder: conversion to RGB and back, and scaling.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::error::Error;

use criterion::{BenchmarkId, Criterion, Throughput};
use cutrickle_frame::{I420, Scaler, VideoFrame};
use cutrickle_media::{Colour, Timestamp};

/// A picture whose samples differ from those next to them.
fn picture(width: u32, height: u32) -> Result<I420, Box<dyn Error>> {
    let mut picture = I420::new(width, height)?;
    for plane in picture.planes_mut() {
        for (n, sample) in plane.data.iter_mut().enumerate() {
            *sample = (n.wrapping_mul(31) >> 2) as u8;
        }
    }
    Ok(picture)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pixels");
    for (width, height) in [(512, 512), (1280, 720), (1920, 1080)] {
        let size = format!("{width}x{height}");
        group.throughput(Throughput::Elements(u64::from(width) * u64::from(height)));
        let colour = Colour::unspecified(height);
        let source = picture(width, height)?;
        let frame = VideoFrame::from_i420(picture(width, height)?, colour, Timestamp::ZERO);
        let rgb = frame.tensor()?;
        group.bench_function(BenchmarkId::new("I420 to RGB", &size), |bencher| {
            // A frame keeps the pixels that it has converted, so each round uses a new frame.
            bencher.iter_batched(
                || {
                    let frame = |picture| VideoFrame::from_i420(picture, colour, Timestamp::ZERO);
                    picture(width, height).map(frame)
                },
                |frame| frame.map(|frame| frame.tensor()),
                criterion::BatchSize::LargeInput,
            );
        });
        group.bench_function(BenchmarkId::new("RGB to I420", &size), |bencher| {
            bencher.iter(|| frame.clone().replace_tensor(rgb.clone()).map(|frame| frame.i420().map(drop)));
        });
        group.bench_function(BenchmarkId::new("scale to 512x512", &size), |bencher| {
            let mut scaler = Scaler::new(512, 512);
            bencher.iter(|| scaler.fill(&source));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
