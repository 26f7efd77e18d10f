//! What compositions do to pictures, sound, parameters and hooks, without a stream around them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, Colour, I420, VideoFrame};
use cutrickle_pipeline::compose::{
    Compose, Part, every, from_fn, map_tensor, parallel, switch, with_overlay, with_timeout,
};
use cutrickle_pipeline::{FrameProcessor, Generated, Params, Result, StreamContext};
use serde_json::{Value, json};

fn frame(n: i64) -> VideoFrame {
    VideoFrame::from_i420(I420::new(32, 16).unwrap(), Colour::BT601, n * 3000)
}

fn sound(n: i64) -> AudioFrame {
    let samples = Tensor::zeros((1, 960), candle_core::DType::F32, &Device::Cpu).unwrap();
    AudioFrame::from_tensor(samples, 48_000, n * 1800).unwrap()
}

fn params(value: Value) -> Params {
    value.as_object().cloned().unwrap()
}

fn context(value: Value) -> StreamContext {
    StreamContext::new("test", params(value), Device::Cpu)
}

/// Writes down what it is asked, and takes these parameters.
#[derive(Clone)]
struct Told {
    name: &'static str,
    takes: Option<[&'static str; 1]>,
    log: Arc<Mutex<Vec<String>>>,
    fails: bool,
}

impl Told {
    fn say(&self, what: impl std::fmt::Display) -> Result<()> {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
        if self.fails { Err(format!("{} fails", self.name).into()) } else { Ok(()) }
    }
}

impl FrameProcessor for Told {
    async fn initialize(&mut self, _: &Device) -> Result<()> {
        self.say("initialize")
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        self.say(format_args!("video {}", frame.timestamp())).map(|()| Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.say(format_args!("audio {}", frame.timestamp())).map(|()| vec![frame.clone(), frame])
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        self.say(format_args!("generate {timestamp}"))?;
        // Its time is not the moment's: a composition has to see to that.
        Ok(Generated { video: Some(frame(0)), audio: vec![sound(7)] })
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.say(format_args!("params {}", Value::from(params.clone())))
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.say(format_args!("start {}", Value::from(stream.params.clone())))
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.say("stop")
    }

    fn parts(&self) -> Vec<Part> {
        vec![self.takes.map_or_else(Part::any, Part::taking)]
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn told(&self, name: &'static str, takes: Option<&'static str>) -> Told {
        Told { name, takes: takes.map(|name| [name]), log: Arc::clone(&self.0), fails: false }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn all_that_a_stream_asks_goes_through_both_in_order() {
    let log = Log::default();
    let mut both = log.told("a", Some("x")).then(log.told("b", Some("y")));
    both.initialize(&Device::Cpu).await.unwrap();
    both.on_stream_start(&context(json!({"x": 1, "y": 2, "z": 3}))).await.unwrap();
    assert_eq!(log.take(), ["a initialize", "b initialize", r#"a start {"x":1}"#, r#"b start {"y":2}"#]);
    both.process_video(frame(2)).await.unwrap().unwrap();
    assert_eq!(both.process_audio(sound(1)).await.unwrap().len(), 4);
    assert_eq!(log.take(), ["a video 6000", "b video 6000", "a audio 1800", "b audio 1800", "b audio 1800"]);
    let made = both.generate(9000).await.unwrap();
    assert_eq!((made.video.unwrap().timestamp(), made.audio.len()), (9000, 2));
    assert_eq!(log.take(), ["a generate 9000", "b video 9000", "b audio 12600"]);
    both.on_stream_stop().await.unwrap();
    assert_eq!(log.take(), ["a stop", "b stop"]);
}

#[tokio::test]
async fn a_part_that_fails_to_stop_or_to_take_parameters_does_not_keep_the_other_from_it() {
    let log = Log::default();
    let mut both = Told { fails: true, ..log.told("a", Some("x")) }.then(log.told("b", Some("y")));
    assert_eq!(both.on_stream_stop().await.unwrap_err().to_string(), "a fails");
    assert!(both.update_params(&params(json!({"x": 1, "y": 2}))).await.is_err());
    assert_eq!(log.take(), ["a stop", "b stop", r#"a params {"x":1}"#, r#"b params {"y":2}"#]);
}

#[tokio::test]
async fn parameters_find_their_part_by_name_at_any_depth_or_flat() {
    let log = Log::default();
    let inner = log.told("a", Some("x")).named("a").then(log.told("b", Some("x")).named("b"));
    let mut all = inner.named("look").then(log.told("c", None));
    all.update_params(&params(json!({"look": {"b": {"x": 1}}, "prompt": "a cat"}))).await.unwrap();
    assert_eq!(log.take(), [r#"b params {"x":1}"#, r#"c params {"prompt":"a cat"}"#]);
    let error = all.update_params(&params(json!({"look": {"x": 1}}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `a` or `b`"), "{error}");
    let error = all.on_stream_start(&context(json!({"look": {"x": 1}}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `a` or `b`"), "{error}");
    assert_eq!(log.take(), Vec::<String>::new(), "nothing of it was handed on");
}

#[tokio::test]
async fn an_ambiguous_parameter_is_handed_to_nobody_and_nor_are_those_beside_it() {
    let log = Log::default();
    let mut both = log.told("a", None).named("first").then(log.told("b", None).named("second"));
    let error =
        both.update_params(&params(json!({"first": {"x": 1}, "x": 1}))).await.unwrap_err().to_string();
    assert_eq!(error, r#"`x` may be for `first` or `second`: say which, as in {"first": {"x": …}}"#);
    assert_eq!(log.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_switch_gives_pictures_to_the_chosen_and_parameters_to_whom_they_are_for() {
    let log = Log::default();
    let mut choice =
        switch("mode").case("one", log.told("1", Some("x"))).case("two", log.told("2", Some("x")));
    choice.initialize(&Device::Cpu).await.unwrap();
    choice.on_stream_start(&context(json!({"two": {"x": 1}}))).await.unwrap();
    log.take();
    choice.process_video(frame(0)).await.unwrap().unwrap();
    choice.update_params(&params(json!({"mode": "two", "one": {"x": 5}}))).await.unwrap();
    choice.process_video(frame(1)).await.unwrap().unwrap();
    choice.process_audio(sound(0)).await.unwrap();
    assert_eq!(log.take(), ["1 video 0", r#"1 params {"x":5}"#, "2 video 3000", "2 audio 0"]);
    let error = choice.update_params(&params(json!({"mode": "three"}))).await.unwrap_err().to_string();
    assert_eq!(error, r#"`mode` is "three": one of `one`, `two` is wanted"#);
    let error = choice.update_params(&params(json!({"mode": "one", "x": 1}))).await.unwrap_err().to_string();
    assert!(error.contains("`x` may be for `one` or `two`"), "{error}");
    choice.process_video(frame(2)).await.unwrap();
    assert_eq!(log.take(), ["2 video 6000"], "an update that is refused chooses nothing");
}

#[tokio::test]
async fn every_third_picture_is_processed_and_the_others_pass_or_repeat() {
    let grey = || map_tensor(|pixels: Tensor| pixels.narrow(2, 0, 1));
    for repeating in [false, true] {
        let mut third = if repeating { every(3, grey()).repeating() } else { every(3, grey()) };
        let mut replaced = Vec::new();
        for n in 0..7 {
            let out = third.process_video(frame(n)).await.unwrap().unwrap();
            assert_eq!(out.timestamp(), n * 3000);
            replaced.push(out.is_replaced());
        }
        let expected: Vec<_> = (0..7).map(|n| repeating || n % 3 == 0).collect();
        assert_eq!(replaced, expected);
    }
}

#[tokio::test]
async fn what_repeats_a_withheld_picture_is_withheld_and_a_failure_changes_nothing() {
    let mut calls = 0;
    let plan = from_fn(move |frame| {
        calls += 1;
        match calls {
            1 => Ok(Some(frame)),
            2 => Err("out of paint".into()),
            _ => Ok(None),
        }
    });
    let mut second = every(2, plan).repeating();
    let mut seen = Vec::new();
    for n in 0..6 {
        seen.push(second.process_video(frame(n)).await.map(|frame| frame.is_some()).ok());
    }
    assert_eq!(seen, [Some(true), Some(true), None, Some(true), Some(false), Some(false)]);
}

#[tokio::test]
async fn map_tensor_sees_rgb_and_may_change_the_size() {
    let mut half = map_tensor(|pixels: Tensor| {
        assert_eq!(pixels.dims(), [16, 32, 3]);
        pixels.narrow(1, 0, 16)
    });
    let out = half.process_video(frame(1)).await.unwrap().unwrap();
    assert_eq!((out.width(), out.height(), out.timestamp()), (16, 16, 3000));
}

#[tokio::test]
async fn a_picture_that_no_part_touches_stays_the_decoders_own() {
    let pass = || from_fn(|frame| Ok(Some(frame)));
    let mut all = with_overlay(
        every(2, pass())
            .then(with_timeout(pass(), std::time::Duration::from_secs(60)))
            .then(parallel(pass(), 2).named("parallel"))
            .then(switch("mode").case("pass", pass()))
            .then(pass().boxed()),
    );
    all.on_stream_start(&context(json!({}))).await.unwrap();
    for n in 0..4 {
        let frame = frame(n);
        let picture = frame.i420().unwrap();
        let out = all.process_video(frame).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&picture, &out.i420().unwrap()));
    }
    all.on_stream_stop().await.unwrap();
}
