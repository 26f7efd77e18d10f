//! What compositions do to frames, audio, parameters and hooks, without a stream around them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, I420, VideoFrame};
use cutrickle_media::{Colour, Timestamp};
use cutrickle_pipeline::compose::{
    Compose, buffered, every, from_fn, map_tensor, parallel, switch, with_overlay, with_timeout,
};
use cutrickle_pipeline::{
    FrameProcessor, Generated, Params, Result, Stage, StreamContext, Trial, TypedParams, initialize,
};
use serde_json::{Value, json};

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn frame(n: i64) -> VideoFrame {
    VideoFrame::from_i420(I420::new(32, 16).unwrap(), Colour::BT601, at(n * 3000))
}

fn audio(n: i64) -> AudioFrame {
    let samples = Tensor::zeros((1, 960), candle_core::DType::F32, &Device::Cpu).unwrap();
    AudioFrame::from_tensor(samples, 48_000, at(n * 1800)).unwrap()
}

fn params(value: Value) -> Params {
    value.as_object().cloned().unwrap()
}

fn context(value: Value) -> StreamContext {
    StreamContext::new("test", params(value), Device::Cpu)
}

/// Tries `stage` out as a stream without parameters does.
async fn trial<S: Stage>(stage: &S) -> Trial<S> {
    Trial::start(stage, &context(json!({}))).await.unwrap()
}

/// Writes down what it is asked, and takes these parameters.
#[derive(Clone)]
struct Told {
    name: &'static str,
    takes: Option<One>,
    log: Arc<Mutex<Vec<String>>>,
    fails: Arc<AtomicBool>,
}

/// One parameter of any value.
#[derive(Clone)]
struct One {
    name: &'static str,
    values: Params,
}

impl TypedParams for One {
    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { self.name: {} } })
    }

    fn values(&self) -> Params {
        self.values.clone()
    }

    fn update(&mut self, params: &Params) -> Result<()> {
        self.values.extend(params.clone());
        Ok(())
    }
}

impl Told {
    fn say(&self, what: impl std::fmt::Display) -> Result<()> {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
        if self.fails.load(Ordering::Relaxed) { Err(format!("{} fails", self.name).into()) } else { Ok(()) }
    }
}

impl FrameProcessor for Told {
    async fn initialize(&mut self, _: &Device) -> Result<()> {
        self.say("initialize")
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.say(format_args!("video {}", frame.timestamp().ticks())).map(|()| Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        self.say(format_args!("audio {}", frame.timestamp().ticks())).map(|()| vec![frame.clone(), frame])
    }

    async fn generate(&mut self, timestamp: Timestamp, _: &StreamContext) -> Result<Generated> {
        self.say(format_args!("generate {}", timestamp.ticks()))?;
        // Its time is not the moment's: a composition has to see to that.
        Ok(Generated { video: Some(frame(0)), audio: vec![audio(7)] })
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        self.takes.as_mut().map(|takes| takes as &mut dyn TypedParams)
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        self.say(format_args!("params {}", Value::from(params.clone())))
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.say(format_args!("start {}", Value::from(stream.params.clone())))
    }

    async fn on_stream_stop(&mut self, _: &StreamContext) -> Result<()> {
        self.say("stop")
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn told(&self, name: &'static str, takes: Option<&'static str>) -> Told {
        let takes = takes.map(|name| One { name, values: Params::new() });
        Told { name, takes, log: Arc::clone(&self.0), fails: Arc::default() }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn all_that_a_stream_asks_goes_through_both_in_order() {
    let log = Log::default();
    let both = log.told("a", Some("x")).then(log.told("b", Some("y")));
    let both = initialize(both, &Device::Cpu).await.unwrap();
    let mut both = Trial::start(&both, &context(json!({"x": 1, "y": 2, "z": 3}))).await.unwrap();
    assert_eq!(log.take(), ["a initialize", "b initialize", r#"a start {"x":1}"#, r#"b start {"y":2}"#]);
    both.process_video(frame(2)).await.unwrap().unwrap();
    assert_eq!(both.process_audio(audio(1)).await.unwrap().len(), 4);
    assert_eq!(log.take(), ["a video 6000", "b video 6000", "a audio 1800", "b audio 1800", "b audio 1800"]);
    let made = both.generate(at(9000)).await.unwrap();
    assert_eq!((made.video.unwrap().timestamp(), made.audio.len()), (at(9000), 2));
    assert_eq!(log.take(), ["a generate 9000", "b video 9000", "b audio 12600"]);
    both.stop().await.unwrap();
    assert_eq!(log.take(), ["a stop", "b stop"]);
}

#[tokio::test]
async fn a_part_that_fails_to_stop_or_to_take_parameters_does_not_keep_the_other_from_it() {
    let log = Log::default();
    let first = log.told("a", Some("x"));
    let fails = Arc::clone(&first.fails);
    let mut both = trial(&first.then(log.told("b", Some("y")))).await;
    log.take();
    fails.store(true, Ordering::Relaxed);
    assert!(both.update_params(&params(json!({"x": 1, "y": 2}))).await.is_err());
    assert_eq!(both.stop().await.unwrap_err().to_string(), "a fails");
    assert_eq!(log.take(), [r#"a params {"x":1}"#, r#"b params {"y":2}"#, "a stop", "b stop"]);
}

#[tokio::test]
async fn parameters_find_their_part_by_name_at_any_depth_or_flat() {
    let log = Log::default();
    let inner = log.told("a", Some("x")).named("a").then(log.told("b", Some("x")).named("b"));
    let stage = inner.named("look").then(log.told("c", None));
    let mut all = trial(&stage).await;
    log.take();
    all.update_params(&params(json!({"look": {"b": {"x": 1}}, "prompt": "a cat"}))).await.unwrap();
    assert_eq!(log.take(), [r#"b params {"x":1}"#, r#"c params {"prompt":"a cat"}"#]);
    let error = all.update_params(&params(json!({"look": {"x": 1}}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `a` or `b`"), "{error}");
    let error = Trial::start(&stage, &context(json!({"look": {"x": 1}}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `a` or `b`"), "{error}");
    assert_eq!(log.take(), Vec::<String>::new(), "nothing of it was handed on");
}

#[tokio::test]
async fn an_ambiguous_parameter_is_handed_to_nobody_and_nor_are_those_beside_it() {
    let log = Log::default();
    let mut both = trial(&log.told("a", None).named("first").then(log.told("b", None).named("second"))).await;
    log.take();
    let error =
        both.update_params(&params(json!({"first": {"x": 1}, "x": 1}))).await.unwrap_err().to_string();
    assert_eq!(error, r#"`x` may be for `first` or `second`: say which, as in {"first": {"x": …}}"#);
    assert_eq!(log.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_switch_gives_frames_to_the_chosen_and_parameters_to_whom_they_are_for() {
    let log = Log::default();
    let choice = switch("mode").case("one", log.told("1", Some("x"))).case("two", log.told("2", Some("x")));
    let choice = initialize(choice, &Device::Cpu).await.unwrap();
    let mut choice = Trial::start(&choice, &context(json!({"two": {"x": 1}}))).await.unwrap();
    assert_eq!(
        log.take(),
        ["1 initialize", "2 initialize", "1 start {}", r#"2 start {"x":1}"#],
        "all of them, whichever is chosen"
    );
    choice.process_video(frame(0)).await.unwrap().unwrap();
    choice.update_params(&params(json!({"mode": "two", "one": {"x": 5}}))).await.unwrap();
    choice.process_video(frame(1)).await.unwrap().unwrap();
    choice.process_audio(audio(0)).await.unwrap();
    assert_eq!(log.take(), ["1 video 0", r#"1 params {"x":5}"#, "2 video 3000", "2 audio 0"]);
    let error = choice.update_params(&params(json!({"mode": "three"}))).await.unwrap_err().to_string();
    assert_eq!(error, r#"`mode` is "three": one of `one`, `two` is wanted"#);
    let error = choice.update_params(&params(json!({"mode": "one", "x": 1}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `one` or `two`"), "{error}");
    choice.process_video(frame(2)).await.unwrap();
    assert_eq!(log.take(), ["2 video 6000"], "an update that is refused chooses nothing");
}

#[tokio::test]
async fn every_third_frame_is_processed_and_the_others_pass_or_repeat() {
    let grey = || map_tensor(|pixels: Tensor| pixels.narrow(2, 0, 1));
    for repeating in [false, true] {
        let third = if repeating { every(3, grey()).repeating() } else { every(3, grey()) };
        let mut third = trial(&third).await;
        let mut replaced = Vec::new();
        for n in 0..7 {
            let out = third.process_video(frame(n)).await.unwrap().unwrap();
            assert_eq!(out.timestamp(), at(n * 3000));
            replaced.push(out.is_replaced());
        }
        let expected: Vec<_> = (0..7).map(|n| repeating || n % 3 == 0).collect();
        assert_eq!(replaced, expected);
    }
}

#[tokio::test]
async fn what_repeats_a_withheld_frame_is_withheld_and_a_failure_changes_nothing() {
    let mut calls = 0;
    let plan = from_fn(move |frame| {
        calls += 1;
        match calls {
            1 => Ok(Some(frame)),
            2 => Err("out of paint".into()),
            _ => Ok(None),
        }
    });
    let mut second = trial(&every(2, plan).repeating()).await;
    let mut seen = Vec::new();
    for n in 0..6 {
        seen.push(second.process_video(frame(n)).await.map(|frame| frame.is_some()).ok());
    }
    assert_eq!(seen, [Some(true), Some(true), None, Some(true), Some(false), Some(false)]);
}

#[tokio::test]
async fn map_tensor_sees_rgb_and_may_change_the_size() {
    let half = map_tensor(|pixels: Tensor| {
        assert_eq!(pixels.dims(), [16, 32, 3]);
        pixels.narrow(1, 0, 16)
    });
    let mut half = trial(&half).await;
    let out = half.process_video(frame(1)).await.unwrap().unwrap();
    assert_eq!((out.width(), out.height(), out.timestamp()), (16, 16, at(3000)));
}

#[tokio::test]
async fn a_frame_that_no_part_touches_stays_the_decoders_own() {
    let pass = || from_fn(|frame| Ok(Some(frame)));
    let all = with_overlay(
        every(2, pass())
            .then(with_timeout(pass(), std::time::Duration::from_secs(60)))
            .then(parallel(pass(), 2).named("parallel"))
            .then(buffered(pass(), 2))
            .then(switch("mode").case("pass", pass()))
            .then(pass().boxed()),
    );
    let mut all = trial(&all).await;
    for n in 0..4 {
        let frame = frame(n);
        let picture = frame.i420().unwrap();
        let out = all.process_video(frame).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&picture, &out.i420().unwrap()));
    }
    all.stop().await.unwrap();
}
