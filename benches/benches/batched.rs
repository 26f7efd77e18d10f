//! Frames per second of a model that eight streams share, called by each stream itself and by `Batched`.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::error::Error;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput};
use cutrickle_frame::VideoFrame;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::compose::{Batched, map_tensor};
use cutrickle_pipeline::{Params, Stage, StreamContext, Trial};
use tokio::runtime::Runtime;

const STREAMS: u32 = 8;
/// The width and height of a frame in pixels.
const SIDE: usize = 64;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Takes a batch of N frames as a tensor of u8 and of shape (N, H, W, 3), and returns as many as floats.
trait Model: Fn(&Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static {}
impl<F: Fn(&Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static> Model for F {}

/// Two 3x3 convolutions, from 3 to 16 to 3 channels, which do a lot of arithmetic with each weight.
fn convolution() -> candle_core::Result<impl Model> {
    let device = Device::Cpu;
    let widen = Tensor::randn(0f32, 0.1, (16, 3, 3, 3), &device)?;
    let narrow = Tensor::randn(0f32, 0.1, (3, 16, 3, 3), &device)?;
    Ok(move |frames: &Tensor| {
        let planes = (frames.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?;
        let features = planes.conv2d(&widen, 1, 1, 1, 1)?.relu()?;
        features.conv2d(&narrow, 1, 1, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()
    })
}

/// Two fully connected layers with 1,024 features in between. Each of their 101 MB of weights is used once
/// per frame.
fn connection() -> candle_core::Result<impl Model> {
    let (device, pixels) = (Device::Cpu, SIDE * SIDE * 3);
    let narrow = Tensor::randn(0f32, 0.01, (1024, pixels), &device)?;
    let widen = Tensor::randn(0f32, 0.01, (pixels, 1024), &device)?;
    Ok(move |frames: &Tensor| {
        let flat = (frames.flatten_from(1)?.to_dtype(DType::F32)? / 255.0)?;
        flat.matmul(&narrow.t()?)?.relu()?.matmul(&widen.t()?)?.reshape(frames.shape())
    })
}

/// The time that eight streams take for `frames` frames each. A stream sends a frame when the one before has
/// come back.
fn play<S: Stage>(stage: &S, runtime: &Runtime, frames: u64) -> Outcome<Duration> {
    let begin = Barrier::new(STREAMS as usize + 1);
    let stream = |n: u32, stage: S| -> Outcome<()> {
        let pixels = Tensor::full(n as u8, (SIDE, SIDE, 3), &Device::Cpu)?;
        let context = StreamContext::new(n.to_string(), Params::new(), Device::Cpu);
        let mut trial = runtime.block_on(Trial::start(&stage, &context))?;
        begin.wait();
        for index in 0..frames {
            let timestamp = Timestamp::from_ticks(index as i64 * 3000);
            let frame = VideoFrame::from_tensor(pixels.clone(), timestamp)?;
            runtime.block_on(trial.process_video(frame))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|n| {
                let stage = stage.clone();
                scope.spawn(move || stream(n, stage))
            })
            .collect();
        begin.wait();
        let began = Instant::now();
        for stream in streams {
            stream.join().map_err(|_| "a stream panicked")??;
        }
        Ok(began.elapsed())
    })
}

fn compare(criterion: &mut Criterion, name: &str, model: impl Model) -> Outcome<()> {
    let runtime = Runtime::new()?;
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(STREAMS.into()));
    let one = model.clone();
    let alone = map_tensor(move |pixels: Tensor| one(&pixels.unsqueeze(0)?)?.squeeze(0));
    let batched =
        Batched::new(move |frames: Tensor| model(&frames), STREAMS as usize, Duration::from_millis(5));
    let mut failed = None;
    let mut timed = |played: Outcome<Duration>| {
        played.unwrap_or_else(|e| {
            failed = Some(e);
            Duration::from_secs(1)
        })
    };
    group.bench_function("each stream's own calls", |bencher| {
        bencher.iter_custom(|rounds| timed(play(&alone, &runtime, rounds)));
    });
    group.bench_function("Batched, up to 8", |bencher| {
        bencher.iter_custom(|rounds| timed(play(&batched, &runtime, rounds)));
    });
    group.finish();
    failed.map_or(Ok(()), Err)
}

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args();
    compare(&mut criterion, "convolution", convolution()?)?;
    compare(&mut criterion, "full connection", connection()?)?;
    criterion.final_summary();
    Ok(())
}
