//! Processors on threads of their own: several pictures at a time, and pictures that do not wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use candle_core::Device;
use cutrickle_frame::{Colour, I420, VideoFrame};
use cutrickle_pipeline::compose::{Compose, from_fn, parallel, with_overlay, with_timeout};
use cutrickle_pipeline::{
    FrameProcessor, Params, Result, Session, Started, StreamContext, StreamOptions, StreamState,
};
use live::{Clip, Seen, Stage, assert_accounted, ended, every_picture, judge, taken, until};
use serde_json::json;

fn frame(n: i64) -> VideoFrame {
    VideoFrame::from_i420(I420::new(32, 16).unwrap(), Colour::BT601, n * 3000)
}

/// Doors, each of which is open or not.
#[derive(Clone, Default)]
struct Doors(Arc<(Mutex<HashSet<i64>>, Condvar)>);

impl Doors {
    fn open(&self, n: i64) {
        self.0.0.lock().unwrap().insert(n);
        self.0.1.notify_all();
    }

    fn pass(&self, n: i64) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !open.contains(&n)).unwrap());
    }
}

/// Computes, deaf to everything, until the door of its picture opens.
fn through(doors: &Doors) -> impl FrameProcessor + use<> {
    let doors = doors.clone();
    from_fn(move |frame| {
        doors.pass(frame.timestamp() / 3000);
        let pixels = frame.tensor()?;
        Ok(Some(frame.replace_tensor(pixels)?))
    })
}

async fn is_ready(processor: &mut impl FrameProcessor) -> bool {
    tokio::select! { biased; () = processor.video_ready() => true, () = std::future::ready(()) => false }
}

#[tokio::test]
async fn three_pictures_are_at_work_at_once_and_come_out_in_order() {
    let doors = Doors::default();
    let mut three = parallel(through(&doors), 3).then(from_fn(|frame| Ok(Some(frame))));
    for n in 0..3 {
        assert!(matches!(three.start_video(frame(n)).await.unwrap(), Started::AtWork));
    }
    doors.open(2);
    doors.open(1);
    assert!(!is_ready(&mut three).await, "the first is not done");
    doors.open(0);
    for n in 0..3 {
        three.video_ready().await;
        let finished = three.finish_video().await.unwrap();
        assert_eq!(finished.timestamp, n * 3000);
        assert!(finished.result.unwrap().unwrap().is_replaced());
    }
    assert!(!is_ready(&mut three).await);
}

#[tokio::test]
async fn a_fourth_picture_waits_for_a_place() {
    let doors = Doors::default();
    let mut three = parallel(through(&doors), 3);
    for n in 0..3 {
        three.start_video(frame(n)).await.unwrap();
    }
    // The second is done, and waits for the first: its place is not free either.
    doors.open(1);
    tokio::select! {
        biased;
        _ = three.start_video(frame(3)) => panic!("a fourth picture at work"),
        () = tokio::task::yield_now() => {}
    }
    doors.open(0);
    three.start_video(frame(3)).await.unwrap();
}

#[tokio::test]
async fn a_banner_never_overtakes_a_picture_that_is_at_work() {
    let doors = Doors::default();
    let first_only = from_fn(|frame| Ok((frame.timestamp() == 0).then_some(frame)));
    let mut processor = with_overlay(first_only.then(parallel(through(&doors), 2)));
    assert!(matches!(processor.start_video(frame(0)).await.unwrap(), Started::AtWork));
    assert!(matches!(processor.start_video(frame(1)).await.unwrap(), Started::Done(None)));
    doors.open(0);
    processor.video_ready().await;
    let finished = processor.finish_video().await.unwrap();
    assert!(finished.timestamp == 0 && finished.result.unwrap().is_some());
}

#[derive(Clone)]
struct Mixed {
    parameter: Arc<AtomicBool>,
}

impl FrameProcessor for Mixed {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        match frame.timestamp() / 3000 % 10 {
            3 => Err("out of paint".into()),
            6 => panic!("brush broken"),
            9 => Ok(None),
            _ => Ok(Some(frame)),
        }
    }

    async fn update_params(&mut self, _: &Params) -> Result<()> {
        self.parameter.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Plays two seconds of 30 pictures each.
async fn play(processor: &impl FrameProcessor, options: StreamOptions) -> Option<(Session, Seen)> {
    let segments = Clip { seconds: 2, audio: None, ..Clip::default() }.segments()?;
    let stage = Stage::new().await;
    let (session, viewer) = stage.start(processor, json!({}), options).await;
    let mut source = stage.source();
    for segment in &segments {
        source.send(segment).await;
        source.settled(&session).await;
    }
    taken(&session, 60).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    Some((session, viewer.end().await))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_of_a_parallel_processor_is_accounted_for_and_stays_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen_here = Arc::clone(&order);
    let record = from_fn(move |frame| {
        seen_here.lock().unwrap().push(frame.timestamp());
        // A panic behind the parallel part costs its own picture.
        assert!(frame.timestamp() / 3000 % 10 != 1, "pencil broken");
        Ok(Some(frame))
    });
    let mixed = Mixed { parameter: Arc::default() };
    let processor = with_overlay(parallel(mixed, 4).named("mixed").then(record));
    let Some((session, seen)) = play(&processor, every_picture()).await else { return };
    let metrics = session.metrics();
    // One of ten is withheld: at the beginning there is a banner in its place.
    assert_eq!((metrics.frames_failed, metrics.error_count), (18, 18), "{metrics:?}");
    assert_eq!((metrics.frames_out + metrics.frames_withheld, metrics.frames_processed), (42, 60));
    assert_eq!(judge(&seen.bytes).video.len() as u64, metrics.frames_out);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 42);
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_do_not_wait_for_a_processor_that_hangs() {
    let doors = Doors::default();
    let count = Arc::new(Mutex::new(0));
    let (hanging, calls) = (doors.clone(), Arc::clone(&count));
    let hang = from_fn(move |frame| {
        let n = {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        if n == 10 {
            hanging.pass(0);
        }
        Ok(Some(frame))
    });
    let processor = with_timeout(hang, Duration::from_millis(200));
    let Some((session, seen)) = play(&processor, every_picture()).await else { return };
    let metrics = session.metrics();
    assert_eq!((seen.pictures, metrics.frames_out, metrics.frames_processed), (60, 60, 60), "{metrics:?}");
    // The tenth to be given to it, and all after that. Those before it were in time unless the machine stood still.
    assert!(metrics.frames_late >= 51 && *count.lock().unwrap() == 10, "{metrics:?}");
    let status = session.status();
    assert_eq!(status.state, StreamState::Offline);
    assert!(status.last_error.unwrap().contains("left to itself"));
    judge(&seen.bytes);
    doors.open(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_pictures_may_be_withheld_and_an_overlay_stands_in_for_them_until_the_first_result() {
    let doors = Doors::default();
    let slow = {
        let doors = doors.clone();
        from_fn(move |frame| {
            doors.pass(0);
            Ok(Some(frame))
        })
    };
    let stage = Stage::new().await;
    let Some(segments) = (Clip { seconds: 2, audio: None, ..Clip::default() }).segments() else { return };
    let processor = with_overlay(with_timeout(slow, Duration::from_millis(50)).withholding());
    let (session, viewer) = stage.start(&processor, json!({}), every_picture()).await;
    let mut source = stage.source();
    source.send(&segments[0]).await;
    viewer.pictures(30).await;
    assert_eq!(session.metrics().frames_late, 30);
    doors.open(0);
    source.send(&segments[1]).await;
    taken(&session, 60).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    viewer.end().await;
}

/// Tells the truth about its parameter in its pictures' width.
#[derive(Clone)]
struct Wide {
    width: u32,
    doors: Doors,
}

impl FrameProcessor for Wide {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let n = frame.timestamp() / 3000;
        self.doors.pass(n);
        Ok(Some(VideoFrame::from_i420(I420::new(self.width, 16)?, Colour::BT601, 0)))
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let width = params.get("width").and_then(serde_json::Value::as_u64).ok_or("a width is wanted")?;
        self.width = u32::try_from(width)?;
        Ok(())
    }
}

#[tokio::test]
async fn parameters_that_come_meanwhile_are_given_to_a_late_processor_before_its_next_picture() {
    let doors = Doors::default();
    let mut late = with_timeout(Wide { width: 64, doors: doors.clone() }, Duration::from_millis(20));
    late.on_stream_start(&StreamContext::new("test", Params::new(), Device::Cpu)).await.unwrap();
    let out = late.process_video(frame(0)).await.unwrap().unwrap();
    assert_eq!((out.width(), out.timestamp()), (32, 0), "as it came");
    for width in [70, 80] {
        late.update_params(json!({ "width": width }).as_object().unwrap()).await.unwrap();
    }
    (0..1000).for_each(|n| doors.open(n));
    let mut n = 1;
    let out = loop {
        let out = late.process_video(frame(n)).await.unwrap().unwrap();
        if out.width() != 32 {
            break out;
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(out.width(), 80, "neither the answer that was late nor an older parameter");
    late.on_stream_stop().await.unwrap();
}

#[tokio::test]
async fn parameters_reach_every_clone_between_the_same_two_pictures() {
    let doors = Doors::default();
    (0..8).for_each(|n| doors.open(n));
    let mut four = parallel(Wide { width: 64, doors }, 4);
    let mut widths = Vec::new();
    for half in 0..2 {
        for n in 0..4 {
            four.start_video(frame(half * 4 + n)).await.unwrap();
        }
        four.update_params(json!({"width": 80}).as_object().unwrap()).await.unwrap();
        for _ in 0..4 {
            widths.push(four.finish_video().await.unwrap().result.unwrap().unwrap().width());
        }
    }
    assert_eq!(widths, [64, 64, 64, 64, 80, 80, 80, 80]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_clones_of_a_stream_take_its_parameters() {
    let stage = Stage::new().await;
    let parameter = Arc::new(AtomicBool::new(false));
    let processor = parallel(Mixed { parameter: Arc::clone(&parameter) }, 2);
    let (session, _viewer) = stage.start(&processor, json!({}), every_picture()).await;
    session.update_params(json!({"strength": 1}).as_object().cloned().unwrap()).unwrap();
    until(&session, |_| parameter.load(Ordering::SeqCst)).await;
    session.stop();
    ended(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn show_loading_puts_the_banner_on_every_picture_until_it_is_unset() {
    let Some(segments) = (Clip { seconds: 2, audio: None, ..Clip::default() }).segments() else { return };
    let stage = Stage::new().await;
    let drawn = Arc::new(Mutex::new(Vec::new()));
    let seen_here = Arc::clone(&drawn);
    let processor = with_overlay(from_fn(|frame| Ok(Some(frame)))).then(from_fn(move |frame| {
        seen_here.lock().unwrap().push(frame.is_replaced());
        Ok(Some(frame))
    }));
    let (session, viewer) = stage.start(&processor, json!({"show_loading": true}), every_picture()).await;
    let mut source = stage.source();
    source.send(&segments[0]).await;
    viewer.pictures(30).await;
    session.update_params(json!({"show_loading": false}).as_object().cloned().unwrap()).unwrap();
    source.send(&segments[1]).await;
    viewer.pictures(60).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    let expected: Vec<_> = (0..60).map(|n| n < 30).collect();
    assert_eq!(*drawn.lock().unwrap(), expected);
}
