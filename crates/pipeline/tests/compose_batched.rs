//! One model for the pictures of several streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::{BatchModel, Batched};
use cutrickle_pipeline::{Figures, FrameProcessor, MetricsRegistry, Params, Result, Session, StreamContext};
use live::{Clip, DEADLINE, Stage, assert_accounted, ended, every_picture, taken};
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

/// Runs one stream on this thread: `pictures` of them, each answered before the next. All streams begin together.
fn stream(
    mut processor: impl FrameProcessor,
    runtime: &Handle,
    begin: &Barrier,
    pictures: Vec<Tensor>,
) -> Vec<Result<Tensor>> {
    runtime.block_on(processor.on_stream_start(&context())).unwrap();
    begin.wait();
    let one = |(n, pixels)| {
        let frame = VideoFrame::from_tensor(pixels, n as i64)?;
        let answer = runtime.block_on(processor.process_video(frame))?.ok_or("withheld")?;
        Ok(answer.tensor()?)
    };
    let answers = pictures.into_iter().enumerate().map(one).collect();
    runtime.block_on(processor.on_stream_stop()).unwrap();
    answers
}

/// Runs eight streams of these pictures.
async fn eight(batched: &Batched<Noting>, pictures: impl Fn(u32) -> Vec<Tensor>) -> Vec<Vec<Result<Tensor>>> {
    let begin = Arc::new(Barrier::new(8));
    let streams: Vec<_> = (0..8)
        .map(|n| {
            let (processor, runtime, begin, pictures) =
                (batched.clone(), Handle::current(), Arc::clone(&begin), pictures(n));
            std::thread::spawn(move || stream(processor, &runtime, &begin, pictures))
        })
        .collect();
    let all = tokio::task::spawn_blocking(move || {
        streams.into_iter().map(|stream| stream.join().unwrap()).collect::<Vec<_>>()
    });
    tokio::time::timeout(DEADLINE, all).await.expect("no stream hangs").unwrap()
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn alone(pixels: &Tensor) -> Vec<u8> {
    let out = model(&pixels.unsqueeze(0).unwrap()).unwrap().get(0).unwrap();
    bytes(&VideoFrame::from_tensor(out, 0).unwrap().tensor().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_streams_get_what_each_would_get_alone() {
    let noting = Noting::default();
    let mut batched = Batched::new(noting.clone(), 4, Duration::from_millis(200));
    batched.initialize(&Device::Cpu).await.unwrap();
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
    let mut slow = batched.clone();
    slow.on_stream_start(&context()).await.unwrap();
    let mut quick = batched.clone();
    let frame = VideoFrame::from_tensor(pixels(1, 1, 24), 0).unwrap();
    let waited = std::time::Instant::now();
    tokio::time::timeout(DEADLINE, quick.process_video(frame)).await.unwrap().unwrap().unwrap();
    assert!(waited.elapsed() >= Duration::from_millis(30), "it did wait");
    assert_eq!(noting.0.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_stream_that_ended_nor_for_one_that_is_gone_while_waiting() {
    let noting = Noting::default();
    // So long a wait would be the end of the test.
    let batched = Batched::new(noting.clone(), 8, 2 * DEADLINE);
    let mut ending = batched.clone();
    ending.on_stream_start(&context()).await.unwrap();
    let mut dropped = batched.clone();
    dropped.on_stream_start(&context()).await.unwrap();
    let mut staying = batched.clone();
    let frame = || VideoFrame::from_tensor(pixels(1, 1, 24), 0).unwrap();
    let stays = tokio::spawn({
        let frame = frame();
        let (done, answer) = tokio::sync::oneshot::channel();
        let runtime = Handle::current();
        std::thread::spawn(move || done.send(runtime.block_on(staying.process_video(frame)).is_ok()));
        answer
    });
    // Its picture waits, and then it is gone with it.
    tokio::select! {
        biased;
        _ = dropped.process_video(frame()) => panic!("a batch without the others"),
        () = tokio::task::yield_now() => {}
    }
    drop(dropped);
    ending.on_stream_stop().await.unwrap();
    assert!(tokio::time::timeout(DEADLINE, stays).await.unwrap().unwrap().unwrap());
    assert_eq!(*noting.0.lock().unwrap(), [[1, 16, 24, 3]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_share_batches_and_the_metrics_say_how_large_they_are() {
    let Some(segments) = (Clip { seconds: 1, audio: None, ..Clip::default() }).segments() else { return };
    let registry = MetricsRegistry::new().unwrap();
    let mut prototype = Batched::new(Noting::default(), 8, Duration::from_millis(50));
    prototype.initialize(&Device::Cpu).await.unwrap();
    let options = every_picture();
    let mut streams = Vec::new();
    for n in 0..3 {
        let stage = Stage::new().await;
        let request =
            cutrickle_pipeline::StreamRequest { id: format!("s{n}"), ..stage.request(&["in", "out"]) };
        let session = Session::start(&prototype, request, options.clone(), &registry).unwrap();
        streams.push((stage, session));
    }
    let mut sources = Vec::new();
    for (stage, _) in &streams {
        let mut source = stage.source();
        source.send(&segments[0]).await;
        sources.push(source);
    }
    for ((_, session), source) in streams.iter().zip(sources) {
        taken(session, 30).await;
        source.end().await;
        ended(session).await;
        assert_accounted(session);
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
