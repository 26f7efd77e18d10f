//! Processors on threads of their own: several frames at a time, and frames that do not wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use candle_core::Device;
use cutrickle_frame::{I420, VideoFrame};
use cutrickle_media::{Colour, Size, Timestamp};
use cutrickle_pipeline::compose::{Compose, from_fn, parallel, with_overlay, with_timeout};
use cutrickle_pipeline::{FrameProcessor, Params, Result, Stage, StreamContext, StreamState, Trial};
use serde_json::json;
use stream::{Clip, Stream, every_frame, number, params_of, play, until, within};
use tokio::sync::mpsc;

/// Doors, each of which is open or not.
#[derive(Clone, Default)]
struct Doors(Arc<(Mutex<HashSet<u8>>, Condvar)>);

impl Doors {
    fn open(&self, n: u8) {
        self.0.0.lock().unwrap().insert(n);
        self.0.1.notify_all();
    }

    fn pass(&self, n: u8) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !open.contains(&n)).unwrap());
    }
}

/// What becomes of a frame behind its door.
#[derive(Debug, PartialEq)]
enum Tells {
    Enters(u8),
    Leaves(u8),
}

use Tells::{Enters, Leaves};

/// Computes, deaf to everything, until the door of its frame opens.
fn through(doors: &Doors) -> (impl Stage + use<>, mpsc::UnboundedReceiver<Tells>) {
    let doors = doors.clone();
    let (tell, told) = mpsc::unbounded_channel();
    let stage = from_fn(move |frame| {
        let n = number(&frame);
        tell.send(Enters(n))?;
        doors.pass(n);
        tell.send(Leaves(n))?;
        let pixels = frame.tensor()?;
        Ok(Some(frame.replace_tensor(pixels)?))
    });
    (stage, told)
}

/// Waits until all of this was told, in whatever order.
async fn tells(told: &mut mpsc::UnboundedReceiver<Tells>, mut wanted: Vec<Tells>) {
    while !wanted.is_empty() {
        let tells = within("a frame", told.recv()).await.expect("the processor lives");
        let place = wanted.iter().position(|wanted| *wanted == tells);
        wanted.remove(place.unwrap_or_else(|| panic!("{tells:?} where {wanted:?} is wanted")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_frames_are_at_work_at_once_and_come_out_in_order() {
    let doors = Doors::default();
    let (working, mut told) = through(&doors);
    let three = parallel(working, 3).then(from_fn(|frame| Ok(Some(frame))));
    let mut stream = Stream::start(&three, json!({}), every_frame());
    stream.feed(Clip::of(3).units()).await;
    tells(&mut told, vec![Enters(0), Enters(1), Enters(2)]).await;
    doors.open(2);
    doors.open(1);
    tells(&mut told, vec![Leaves(2), Leaves(1)]).await;
    assert_eq!(stream.session.metrics().frames_out, 0, "the first is not done");
    doors.open(0);
    let (session, seen) = stream.finish().await;
    assert_eq!((seen.numbers(), session.metrics().error_count), (vec![0, 1, 2], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_frame_waits_for_a_place() {
    let doors = Doors::default();
    let (working, mut told) = through(&doors);
    let mut stream = Stream::start(&parallel(working, 3), json!({}), every_frame());
    stream.feed(Clip::of(4).units()).await;
    tells(&mut told, vec![Enters(0), Enters(1), Enters(2)]).await;
    // The second is done, and waits for the first: its place is not free either.
    doors.open(1);
    tells(&mut told, vec![Leaves(1)]).await;
    until(&stream.session, |m| m.frames_processed == 4).await;
    assert!(told.try_recv().is_err(), "a fourth frame at work");
    doors.open(0);
    tells(&mut told, vec![Leaves(0), Enters(3)]).await;
    (2..4).for_each(|n| doors.open(n));
    assert_eq!(stream.finish().await.1.numbers(), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banner_never_overtakes_a_frame_that_is_at_work() {
    let doors = Doors::default();
    let (working, mut told) = through(&doors);
    let first_only = from_fn(|frame| Ok((number(&frame) == 0).then_some(frame)));
    let stage = with_overlay(first_only.then(parallel(working, 2)));
    let mut stream = Stream::start(&stage, json!({}), every_frame());
    stream.feed(Clip::of(2).units()).await;
    tells(&mut told, vec![Enters(0)]).await;
    until(&stream.session, |m| m.frames_withheld == 1).await;
    assert_eq!(stream.session.metrics().frames_out, 0, "no banner in the place of the second");
    doors.open(0);
    assert_eq!(stream.finish().await.1.numbers(), [0]);
}

#[derive(Clone)]
struct Mixed {
    parameter: Arc<AtomicBool>,
}

impl FrameProcessor for Mixed {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        match number(&frame) % 10 {
            3 => Err("out of paint".into()),
            6 => panic!("brush broken"),
            9 => Ok(None),
            _ => Ok(Some(frame)),
        }
    }

    async fn update_params(&mut self, _: &Params, _: &StreamContext) -> Result<()> {
        self.parameter.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_of_a_parallel_processor_is_accounted_for_and_stays_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen_here = Arc::clone(&order);
    let record = from_fn(move |frame| {
        seen_here.lock().unwrap().push(number(&frame));
        // A panic behind the parallel part costs its own frame.
        assert!(number(&frame) % 10 != 1, "pencil broken");
        Ok(Some(frame))
    });
    let mixed = Mixed { parameter: Arc::default() };
    let stage = with_overlay(parallel(mixed, 4).named("mixed").then(record));
    let (session, seen) = play(&stage, &Clip::of(60), every_frame()).await;
    let metrics = session.metrics();
    // One of ten is withheld: at the beginning there is a banner in its place.
    assert_eq!((metrics.frames_failed, metrics.error_count), (18, 18), "{metrics:?}");
    assert_eq!((metrics.frames_out + metrics.frames_withheld, metrics.frames_processed), (42, 60));
    let numbers = seen.numbers();
    assert_eq!(numbers.len() as u64, metrics.frames_out);
    assert!(numbers.is_sorted(), "{numbers:?}");
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 42);
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_do_not_wait_for_a_processor_that_hangs() {
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
    let stage = with_timeout(hang, Duration::from_millis(200));
    let (session, seen) = play(&stage, &Clip::of(60), every_frame()).await;
    let metrics = session.metrics();
    assert_eq!((seen.frames(), metrics.frames_out, metrics.frames_processed), (60, 60, 60), "{metrics:?}");
    // The tenth to be given to it, and all after that. Those before it were in time unless the machine stood still.
    assert!(metrics.frames_late >= 51 && *count.lock().unwrap() == 10, "{metrics:?}");
    let status = session.status();
    assert_eq!(status.state, StreamState::Offline);
    assert!(status.last_error.unwrap().contains("left to itself"));
    assert_eq!(seen.numbers(), (0..60).collect::<Vec<_>>());
    doors.open(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_frames_may_be_withheld_and_an_overlay_stands_in_for_them_until_the_first_result() {
    let doors = Doors::default();
    let slow = {
        let doors = doors.clone();
        from_fn(move |frame| {
            doors.pass(0);
            Ok(Some(frame))
        })
    };
    let stage = with_overlay(with_timeout(slow, Duration::from_millis(50)).withholding());
    let mut stream = Stream::start(&stage, json!({}), every_frame());
    let mut units = Clip::of(60).units();
    let second = units.split_off(30);
    stream.feed(units).await;
    stream.viewer.frames(30).await;
    assert_eq!(stream.session.metrics().frames_late, 30);
    doors.open(0);
    stream.feed(second).await;
    stream.finish().await;
}

/// Tells the truth about its parameter in its frames' width.
#[derive(Clone)]
struct Wide {
    width: u32,
    doors: Doors,
}

impl FrameProcessor for Wide {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.doors.pass(number(&frame));
        Ok(Some(VideoFrame::from_i420(I420::new(self.width, 16)?, Colour::BT601, Timestamp::ZERO)))
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        let width = params.get("columns").and_then(serde_json::Value::as_u64).ok_or("`columns` is wanted")?;
        self.width = u32::try_from(width)?;
        Ok(())
    }
}

#[tokio::test]
async fn parameters_that_come_meanwhile_are_given_to_a_late_processor_before_its_next_frame() {
    let frame = |n: u8| stream::numbered(n, Size::new(32, 16), Timestamp::from_ticks(i64::from(n) * 3000));
    let doors = Doors::default();
    let late = with_timeout(Wide { width: 64, doors: doors.clone() }, Duration::from_millis(20));
    let context = StreamContext::new("test", Params::new(), Device::Cpu);
    let mut late = Trial::start(&late, &context).await.unwrap();
    let out = late.process_video(frame(0)).await.unwrap().unwrap();
    assert_eq!((out.width(), out.timestamp()), (32, Timestamp::ZERO), "as it came");
    for width in [70, 80] {
        late.update_params(&params_of(json!({ "columns": width }))).await.unwrap();
    }
    (0..=u8::MAX).for_each(|n| doors.open(n));
    let mut n = 1;
    let out = loop {
        let out = late.process_video(frame(n)).await.unwrap().unwrap();
        if out.width() != 32 {
            break out;
        }
        n = n.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(out.width(), 80, "neither the answer that was late nor an older parameter");
    late.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_every_clone_between_the_same_two_frames() {
    let doors = Doors::default();
    let widths = Arc::new(Mutex::new(Vec::new()));
    let seen_here = Arc::clone(&widths);
    let record = from_fn(move |frame: VideoFrame| {
        seen_here.lock().unwrap().push(frame.width());
        Ok(Some(frame))
    });
    let four = parallel(Wide { width: 64, doors: doors.clone() }, 4).then(record);
    let mut stream = Stream::start(&four, json!({}), every_frame());
    let mut units = Clip::of(8).units();
    let second = units.split_off(4);
    stream.feed(units).await;
    until(&stream.session, |m| m.frames_processed == 4).await;
    let verdict = stream.session.update_params(params_of(json!({"columns": 80}))).unwrap();
    stream.feed(second).await;
    (0..8).for_each(|n| doors.open(n));
    within("the verdict", verdict.known()).await.unwrap();
    stream.finish().await;
    assert_eq!(*widths.lock().unwrap(), [64, 64, 64, 64, 80, 80, 80, 80]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_clones_of_a_stream_take_its_parameters() {
    let parameter = Arc::new(AtomicBool::new(false));
    let stage = parallel(Mixed { parameter: Arc::clone(&parameter) }, 2);
    let stream = Stream::start(&stage, json!({}), every_frame());
    stream.session.update_params(params_of(json!({"strength": 1}))).unwrap();
    until(&stream.session, |_| parameter.load(Ordering::SeqCst)).await;
    stream.session.stop();
    stream::ended(&stream.session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn show_loading_puts_the_banner_on_every_frame_until_it_is_unset() {
    let drawn = Arc::new(Mutex::new(Vec::new()));
    let seen_here = Arc::clone(&drawn);
    let stage = with_overlay(from_fn(|frame| Ok(Some(frame)))).then(from_fn(move |frame: VideoFrame| {
        seen_here.lock().unwrap().push(frame.is_replaced());
        Ok(Some(frame))
    }));
    let mut stream = Stream::start(&stage, json!({"show_loading": true}), every_frame());
    let mut units = Clip::of(60).units();
    let second = units.split_off(30);
    stream.feed(units).await;
    stream.viewer.frames(30).await;
    stream.session.update_params(params_of(json!({"show_loading": false}))).unwrap();
    stream.feed(second).await;
    stream.finish().await;
    let expected: Vec<_> = (0..60).map(|n| n < 30).collect();
    assert_eq!(*drawn.lock().unwrap(), expected);
}
