//! Processors as they should not be: none of them ends its stream, or another's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Size;
use cutrickle_pipeline::compose::{
    Compose, buffered, every, from_fn, map_tensor, parallel, switch, with_overlay, with_timeout,
};
use cutrickle_pipeline::{
    EndReason, FrameProcessor, Params, Result, Stage, StreamContext, StreamOptions, StreamState, Trial,
    initialize,
};
use serde_json::json;
use stream::{Clip, Stream, assert_accounted, ended, every_frame, play, until, with};
use tokio::sync::{Semaphore, mpsc};

/// Does with frame number n what its plan says.
#[derive(Clone)]
struct Planned {
    plan: fn(usize) -> Deed,
    seen: usize,
}

enum Deed {
    Pass,
    Withhold,
    Fail,
    Panic,
    Misshape,
}

impl FrameProcessor for Planned {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let n = self.seen;
        self.seen += 1;
        match (self.plan)(n) {
            Deed::Pass => Ok(Some(frame)),
            Deed::Withhold => Ok(None),
            Deed::Fail => Err("out of paint".into()),
            Deed::Panic => panic!("brush broken at {n}"),
            Deed::Misshape => {
                let flat = frame.tensor()?.flatten_all()?;
                Ok(Some(frame.replace_tensor(flat)?))
            }
        }
    }
}

impl Planned {
    fn new(plan: fn(usize) -> Deed) -> Self {
        Self { plan, seen: 0 }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_or_a_panic_costs_its_frame_and_not_the_stream() {
    let plan = |n| match n % 10 {
        3 => Deed::Fail,
        6 => Deed::Panic,
        9 => Deed::Misshape,
        _ => Deed::Pass,
    };
    let clip = Clip { size: Size::new(320, 240), ..Clip::of(60) };
    let (session, seen) = play(&Planned::new(plan), &clip, every_frame()).await;
    let metrics = session.metrics();
    assert_eq!((seen.frames(), metrics.frames_failed, metrics.error_count), (42, 18, 18));
    let error = session.status().last_error.unwrap();
    assert!(error.contains("shape [230400]"), "{error}");
    assert!(seen.numbers().iter().all(|n| ![3, 6, 9].contains(&(n % 10))), "the others come out");
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_frames_are_counted_as_such() {
    let plan = |n| if n % 2 == 0 { Deed::Pass } else { Deed::Withhold };
    let (session, seen) = play(&Planned::new(plan), &Clip::of(60), every_frame()).await;
    assert_eq!((seen.frames(), session.metrics().frames_withheld), (30, 30));
}

/// Works on a frame for as long as it is not given a permit.
#[derive(Clone)]
struct Waiting {
    permits: Arc<Semaphore>,
    /// Told the number of each frame that is worked on.
    working: mpsc::UnboundedSender<u8>,
}

impl FrameProcessor for Waiting {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.working.send(stream::number(&frame))?;
        self.permits.acquire().await?.forget();
        Ok(Some(frame))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_frames_than_may_wait_cost_the_oldest() {
    let (working, mut at_work) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(0));
    let options = with(every_frame(), |options| options.max_queue_size = 3);
    let processor = Waiting { permits: Arc::clone(&permits), working };
    let mut stream = Stream::start(&processor, json!({}), options);
    let mut units = Clip::of(30).units();
    let rest = units.split_off(1);
    stream.feed(units).await;
    at_work.recv().await.unwrap();
    stream.feed(rest).await;
    // Only when the last frame is in the queue is work allowed to go on.
    until(&stream.session, |m| m.frames_dropped >= 26).await;
    permits.add_permits(100);
    let (_, seen) = stream.finish().await;
    let mut worked = Vec::new();
    while let Ok(number) = at_work.try_recv() {
        worked.push(number);
    }
    assert_eq!(worked, [27, 28, 29], "the oldest went, never the newest");
    assert_eq!(seen.numbers(), [0, 27, 28, 29]);
}

/// Fails to start once it is given a permit; counts the frames that reach it all the same.
#[derive(Clone)]
struct Unready {
    permits: Arc<Semaphore>,
    given: Arc<AtomicUsize>,
}

impl FrameProcessor for Unready {
    async fn on_stream_start(&mut self, _: &StreamContext) -> Result<()> {
        self.permits.acquire().await?.forget();
        Err("no memory for this stream".into())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.given.fetch_add(1, Ordering::Relaxed);
        Ok(Some(frame))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_reaches_a_processor_that_could_not_start() {
    let (permits, given) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let processor = Unready { permits: Arc::clone(&permits), given: Arc::clone(&given) };
    let options = with(every_frame(), |options| options.max_queue_size = 3);
    let mut stream = Stream::start(&processor, json!({}), options);
    stream.feed(Clip::of(30).units()).await;
    let session = &stream.session;
    // The last three wait for the processor.
    until(session, |m| m.frames_dropped >= 27).await;
    permits.add_permits(1);
    ended(session).await;
    assert_accounted(session);
    assert_eq!(given.load(Ordering::Relaxed), 0);
    let metrics = session.metrics();
    assert_eq!((metrics.frames_dropped, metrics.frames_out), (30, 0));
    assert_eq!(session.status().last_error.unwrap(), "on_stream_start: no memory for this stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_never_returns_is_abandoned_at_the_deadline() {
    let (working, mut at_work) = mpsc::unbounded_channel();
    let processor = Waiting { permits: Arc::new(Semaphore::new(0)), working };
    let options =
        with(StreamOptions::default(), |options| options.stop_deadline = Duration::from_millis(200));
    let mut stream = Stream::start(&processor, json!({}), options);
    stream.feed(Clip::of(30).units()).await;
    at_work.recv().await.unwrap();
    stream.session.stop();
    ended(&stream.session).await;
    let status = stream.session.status();
    assert_eq!(status.state, StreamState::Error);
    assert!(status.last_error.unwrap().contains("abandoned"));
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Option<Params>>>);

impl FrameProcessor for Given {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        *self.0.lock().unwrap() = Some(params.clone());
        Ok(())
    }
}

#[tokio::test]
async fn what_a_stream_starts_with_is_an_update_unless_it_is_nothing() {
    let processor = Given::default();
    let start = async |params| {
        Trial::start(&processor, &StreamContext::new("test", params, candle_core::Device::Cpu))
            .await
            .unwrap();
        processor.0.lock().unwrap().clone()
    };
    assert_eq!(start(Params::new()).await, None);
    let params = Params::from_iter([("x".to_owned(), 1.into())]);
    assert_eq!(start(params.clone()).await, Some(params));
}

/// Tells what it is told.
#[derive(Clone)]
struct Telling(mpsc::UnboundedSender<String>);

impl FrameProcessor for Telling {
    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.0.send(format!("start {}", serde_json::Value::from(stream.params.clone())))?;
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        self.0.send(format!("params {}", serde_json::Value::from(params.clone())))?;
        Ok(())
    }

    async fn on_stream_stop(&mut self, _: &StreamContext) -> Result<()> {
        self.0.send("stop".into())?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_and_parameters_arrive_without_the_frameworks_own() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let start = json!({"prompt": "a cat", "max_framerate": 20});
    let stream = Stream::start(&Telling(tell), start, StreamOptions::default());
    let session = &stream.session;
    assert_eq!(told.recv().await.unwrap(), r#"start {"prompt":"a cat"}"#);
    let update = json!({"prompt": "a dog", "width": 64, "height": 64});
    session.update_params(update.as_object().cloned().unwrap()).unwrap();
    assert_eq!(told.recv().await.unwrap(), r#"params {"prompt":"a dog"}"#);
    let wrong = json!({"prompt": "a cow", "width": 64});
    assert!(session.update_params(wrong.as_object().cloned().unwrap()).unwrap_err().is_invalid());
    session.stop();
    ended(session).await;
    assert_eq!(told.recv().await.unwrap(), "stop");
    assert_eq!(session.status().params, *json!({"prompt": "a dog"}).as_object().unwrap());
}

/// Fails to load.
#[derive(Clone)]
struct Unloadable(fn() -> Result<()>);

impl FrameProcessor for Unloadable {
    async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
        (self.0)()
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

#[tokio::test]
async fn a_failing_or_panicking_initialize_is_an_error() {
    let error =
        initialize(Unloadable(|| Err("no weights".into())), &candle_core::Device::Cpu).await.err().unwrap();
    assert!(error.to_string().contains("no weights"));
    let error =
        initialize(Unloadable(|| panic!("no memory")), &candle_core::Device::Cpu).await.err().unwrap();
    assert!(error.to_string().contains("panicked: no memory"));
    assert!(initialize(Unloadable(|| Ok(())), &candle_core::Device::Cpu).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_slow_processor_is_dropped_at_a_stop() {
    let (working, mut at_work) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(0));
    let processor = Waiting { permits: Arc::clone(&permits), working };
    let mut stream = Stream::start(&processor, json!({}), every_frame());
    stream.feed(Clip::of(30).units()).await;
    at_work.recv().await.unwrap();
    until(&stream.session, |m| m.frames_in == 30).await;
    stream.session.stop();
    // The one at work, and those alone that the decoder may still have in its hands.
    until(&stream.session, |m| m.frames_dropped >= 25).await;
    permits.add_permits(100);
    let (session, seen) = stream.end().await;
    assert_accounted(&session);
    let status = session.status();
    assert_eq!((status.state, status.end_reason), (StreamState::Offline, Some(EndReason::Stopped)));
    assert!(status.metrics.frames_out < 5, "{status:?}");
    assert_eq!(seen.frames() as u64, status.metrics.frames_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_does_not_wait_for_a_processor_that_takes_none() {
    let clip = Clip { audio: true, ..Clip::of(30) };
    let packets = clip.units().iter().filter(|unit| unit.codec.is_audio()).count();
    let (working, mut at_work) = mpsc::unbounded_channel();
    // The first frame goes out, so that there is a segment; the second one is worked on until the end.
    let permits = Arc::new(Semaphore::new(1));
    let processor = Waiting { permits: Arc::clone(&permits), working };
    let mut stream = Stream::start(&processor, json!({}), StreamOptions::default());
    stream.tracks(clip.tracks()).await;
    let mut units = clip.units();
    let first = units.iter().position(|unit| unit.codec.is_video()).unwrap();
    let rest = units.split_off(first + 1);
    stream.feed(units).await;
    at_work.recv().await.unwrap();
    stream.feed(rest).await;
    at_work.recv().await.unwrap();
    stream.viewer.packets(packets).await;
    assert_eq!(stream.session.metrics().frames_out, 1);
    permits.add_permits(100);
    stream.finish().await;
}

/// Takes the audio and gives it back.
#[derive(Clone)]
struct Listening;

impl FrameProcessor for Listening {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        Ok(vec![frame])
    }
}

#[test]
fn a_processor_takes_audio_if_it_implements_that() {
    let deaf = || Given::default();
    assert!(Listening.takes_audio());
    assert!(!deaf().takes_audio());
    assert!(!deaf().then(deaf()).takes_audio());
    assert!(deaf().then(Listening).takes_audio() && Listening.then(deaf()).takes_audio());
    for wrapped in [
        with_overlay(Listening).boxed(),
        every(2, Listening).boxed(),
        parallel(Listening, 2).boxed(),
        buffered(Listening, 2).boxed(),
        with_timeout(Listening, Duration::from_secs(1)).boxed(),
        Listening.named("ears").boxed(),
        switch("which").case("deaf", deaf()).case("listening", Listening).boxed(),
    ] {
        assert!(wrapped.takes_audio(), "{wrapped:?}");
    }
    for wrapped in [
        with_overlay(deaf()).boxed(),
        every(2, deaf()).boxed(),
        parallel(deaf(), 2).boxed(),
        buffered(deaf(), 2).boxed(),
        with_timeout(deaf(), Duration::from_secs(1)).boxed(),
        deaf().named("eyes").boxed(),
        switch("which").case("deaf", deaf()).boxed(),
        map_tensor(Ok).boxed(),
        from_fn(|frame| Ok(Some(frame))).boxed(),
    ] {
        assert!(!wrapped.takes_audio(), "{wrapped:?}");
    }
}
