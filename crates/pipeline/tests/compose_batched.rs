//! One model for the frames of several streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::compose::{BatchModel, Batched};
use cutrickle_pipeline::{Figures, MetricsRegistry, Params, Result, Stage, StreamContext, Trial, initialize};
use serde_json::Value;
use stream::{Clip, DEADLINE, Stream, every_frame, within};
use tokio::runtime::Handle;

/// A picture whose bytes are all its own.
fn pixels(stream: u32, n: u32, width: usize) -> Tensor {
    let bytes: Vec<u8> =
        (0..16 * width as u32 * 3).map(|at| ((at * 31 + n * 7) ^ (stream * 57)) as u8).collect();
    Tensor::from_vec(bytes, (16, width, 3), &Device::Cpu).unwrap()
}

/// A model whose arithmetic depends on the whole picture: its mean goes into every pixel.
fn model(pictures: &Tensor) -> candle_core::Result<Tensor> {
    let floats = (pictures.to_dtype(DType::F32)? / 255.0)?;
    let mean = floats.mean_keepdim((1, 2, 3))?;
    floats.broadcast_sub(&mean)?.abs()
}

/// Notes the sizes of its batches.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Vec<usize>>>>);

impl BatchModel for Noting {
    fn forward(&mut self, pictures: Tensor) -> Result<Tensor> {
        self.0.lock().unwrap().push(pictures.dims().to_vec());
        // The first byte of a picture may say that it is not to be borne.
        for picture in 0..pictures.dim(0)? {
            match pictures.get(picture)?.flatten_all()?.get(0)?.to_scalar::<u8>()? {
                13 => return Err("unlucky".into()),
                14 => panic!("very unlucky"),
                _ => {}
            }
        }
        Ok(model(&pictures)?)
    }
}

fn context() -> StreamContext {
    StreamContext::new("test", Params::new(), Device::Cpu)
}

fn frame(pixels: Tensor) -> VideoFrame {
    VideoFrame::from_tensor(pixels, Timestamp::ZERO).unwrap()
}

async fn trial<S: Stage>(stage: &S) -> Trial<S> {
    Trial::start(stage, &context()).await.unwrap()
}

/// Runs one stream on this thread: these pictures, each answered before the next. All streams begin together.
fn one_stream(
    stage: &impl Stage,
    runtime: &Handle,
    begin: &Barrier,
    pictures: Vec<Tensor>,
) -> Vec<Result<Tensor>> {
    let mut trial = runtime.block_on(trial(stage));
    begin.wait();
    let mut one = |(n, pixels)| {
        let frame = VideoFrame::from_tensor(pixels, Timestamp::from_ticks(n as i64))?;
        let answer = runtime.block_on(trial.process_video(frame))?.ok_or("withheld")?;
        Ok(answer.tensor()?)
    };
    let answers = pictures.into_iter().enumerate().map(&mut one).collect();
    runtime.block_on(trial.stop()).unwrap();
    answers
}

/// Runs eight streams of these pictures.
async fn eight(batched: &Batched<Noting>, pictures: impl Fn(u32) -> Vec<Tensor>) -> Vec<Vec<Result<Tensor>>> {
    let begin = Arc::new(Barrier::new(8));
    let streams: Vec<_> = (0..8)
        .map(|n| {
            let (processor, runtime, begin, pictures) =
                (batched.clone(), Handle::current(), Arc::clone(&begin), pictures(n));
            std::thread::spawn(move || one_stream(&processor, &runtime, &begin, pictures))
        })
        .collect();
    let all = tokio::task::spawn_blocking(move || {
        streams.into_iter().map(|stream| stream.join().unwrap()).collect::<Vec<_>>()
    });
    within("no stream hangs", all).await.unwrap()
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn alone(pixels: &Tensor) -> Vec<u8> {
    let out = model(&pixels.unsqueeze(0).unwrap()).unwrap().get(0).unwrap();
    bytes(&frame(out).tensor().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_streams_get_what_each_would_get_alone() {
    let noting = Noting::default();
    let batched = Batched::new(noting.clone(), 4, Duration::from_millis(200));
    let batched = initialize(batched, &Device::Cpu).await.unwrap();
    let pictures = |stream| (0..20).map(|n| pixels(stream, n, 24)).collect::<Vec<_>>();
    for (n, answers) in eight(&batched, pictures).await.into_iter().enumerate() {
        for (picture, answer) in pictures(n as u32).iter().zip(answers) {
            // 13 and 14 begin no picture here that fails.
            let first = bytes(picture)[0];
            assert!(first == 13 || first == 14 || bytes(&answer.unwrap()) == alone(picture));
        }
    }
    let calls = noting.0.lock().unwrap();
    let sizes: Vec<_> = calls.iter().map(|dims| dims[0]).collect();
    assert!(sizes.iter().all(|size| *size <= 4), "{sizes:?}");
    assert!(sizes.iter().filter(|size| **size == 4).count() > 20, "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_bad_picture_of_a_batch_fails() {
    let bad = |first: u8| {
        let mut bytes = vec![100u8; 16 * 24 * 3];
        bytes[0] = first;
        Tensor::from_vec(bytes, (16, 24, 3), &Device::Cpu).unwrap()
    };
    let batched = Batched::new(Noting::default(), 8, DEADLINE);
    // Two of the streams send a picture each that an error, and a panic, come of.
    let pictures = |stream| (0..3).map(|n| bad(if n == 1 { 9 + stream as u8 } else { 100 })).collect();
    for (n, answers) in eight(&batched, pictures).await.into_iter().enumerate() {
        let failed: Vec<_> =
            answers.iter().map(|answer| answer.as_ref().err().map(ToString::to_string)).collect();
        let expected = match n {
            4 => Some("unlucky".to_owned()),
            5 => Some("the model panicked: very unlucky".to_owned()),
            _ => None,
        };
        assert_eq!(failed, [None, expected, None], "stream {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_different_shapes_are_in_different_batches() {
    let noting = Noting::default();
    let batched = Batched::new(noting.clone(), 8, Duration::from_millis(100));
    let pictures = |stream| vec![pixels(stream, 0, if stream % 2 == 0 { 24 } else { 40 })];
    for (n, answers) in eight(&batched, pictures).await.into_iter().enumerate() {
        let picture = &pictures(n as u32)[0];
        assert_eq!(bytes(answers[0].as_ref().unwrap()), alone(picture));
    }
    let calls = noting.0.lock().unwrap();
    assert_eq!(*calls, [[4, 16, calls[0][2], 3], [4, 16, 64 - calls[0][2], 3]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_sends_nothing_holds_the_others_no_longer_than_max_wait() {
    let noting = Noting::default();
    let batched = Batched::new(noting.clone(), 8, Duration::from_millis(30));
    let _slow = trial(&batched).await;
    let mut quick = trial(&batched).await;
    let waited = std::time::Instant::now();
    within("an answer", quick.process_video(frame(pixels(1, 1, 24)))).await.unwrap().unwrap();
    assert!(waited.elapsed() >= Duration::from_millis(30), "it did wait");
    assert_eq!(noting.0.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_stream_that_ended_nor_for_one_that_is_gone_while_waiting() {
    let noting = Noting::default();
    // So long a wait would be the end of the test.
    let batched = Batched::new(noting.clone(), 8, 2 * DEADLINE);
    let (ending, mut dropped, staying) =
        (trial(&batched).await, trial(&batched).await, trial(&batched).await);
    let picture = || frame(pixels(1, 1, 24));
    let stays = {
        let (mut staying, frame, runtime) = (staying, picture(), Handle::current());
        let (done, answer) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || done.send(runtime.block_on(staying.process_video(frame)).is_ok()));
        answer
    };
    // Its picture waits, and then it is gone with it.
    tokio::select! {
        biased;
        _ = dropped.process_video(picture()) => panic!("a batch without the others"),
        () = tokio::task::yield_now() => {}
    }
    drop(dropped);
    ending.stop().await.unwrap();
    assert!(within("an answer", stays).await.unwrap());
    assert_eq!(*noting.0.lock().unwrap(), [[1, 16, 24, 3]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_share_batches_and_the_metrics_say_how_large_they_are() {
    let registry = MetricsRegistry::new().unwrap();
    let batched = Batched::new(Noting::default(), 8, Duration::from_millis(50));
    let batched = initialize(batched, &Device::Cpu).await.unwrap();
    let units = Clip::of(30).units();
    let start = |n| Stream::start_in(&registry, &format!("s{n}"), &batched, Value::Null, every_frame());
    let mut streams: Vec<_> = (0..3).map(start).collect();
    for stream in &mut streams {
        stream.feed(units.clone()).await;
    }
    for stream in streams {
        let (session, _) = stream.finish().await;
        assert_eq!((session.metrics().frames_out, session.metrics().error_count), (30, 0));
    }
    let text = registry.text(&Figures::default()).unwrap();
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("cutrickle_batch_size_sum"), 90.0, "{text}");
    assert!(value("cutrickle_batch_size_count") < 80.0, "{text}");
}
