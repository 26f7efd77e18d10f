//! New parameters of a running stream, and the processor's word on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod stream;

use candle_core::Device;
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::{Compose, from_fn, parallel};
use cutrickle_pipeline::{
    EndReason, Ends, FrameProcessor, MetricsRegistry, Params, Result, Session, StreamContext, StreamOptions,
    StreamState, Trial, TypedParams,
};
use serde_json::{Value, json};
use stream::{Clip, Collected, Stream, collector, ended, params_of, teller, until};

/// Takes an `x` below 5.
#[derive(Clone, Default)]
struct Small(X);

#[derive(Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct X {
    x: i64,
}

impl FrameProcessor for Small {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.0)
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        match params.get("x").and_then(Value::as_i64) {
            Some(x) if x < 5 => Ok(()),
            _ => Err("`x` is too large".into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_tells_what_the_processor_said() {
    let stream = Stream::start(&Small::default(), json!({"x": 1}), StreamOptions::default());
    let session = &stream.session;
    session.update_params(params_of(json!({"x": 2}))).unwrap().known().await.unwrap();
    let refused = session.update_params(params_of(json!({"x": 7}))).unwrap().known().await.unwrap_err();
    assert!(refused.is_invalid() && refused.to_string().contains("too large"), "{refused}");
    assert_eq!((session.status().params, session.metrics().error_count), (params_of(json!({"x": 2})), 0));
    assert!(session.update_params(params_of(json!({"y": 1}))).unwrap_err().is_invalid());
    session.stop();
    ended(session).await;
    let late = session.update_params(params_of(json!({"x": 3}))).unwrap().known().await.unwrap_err();
    assert!(!late.is_invalid() && late.to_string().contains("ended"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_nobody_waits_for_is_an_error_of_the_stream_which_goes_on() {
    let (told, control) = teller();
    let (ends, metrics) = (Ends::new().with_control(control), MetricsRegistry::new().unwrap());
    let stream =
        Stream::start_between(ends, &metrics, "test", &Small::default(), json!({}), StreamOptions::default());
    let session = &stream.session;
    for (message, errors, reason) in [
        (json!({"x": 7}), 1, "update_params: `x` is too large"),
        (json!({"y": 1}), 2, "control: `y` is unknown"),
    ] {
        told.tell(message);
        until(session, |_| session.status().last_error.is_some_and(|error| error.contains(reason))).await;
        assert_eq!(session.metrics().error_count, errors);
        assert!(session.status().params.is_empty() && !session.is_ended());
    }
    session.stop();
    ended(session).await;
}

/// Emits the parameters that it works with at each frame, and what it is told of new ones.
#[derive(Clone)]
struct Look(Wanted);

#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Wanted {
    /// How much of it.
    #[schemars(range(min = 0.0, max = 1.0))]
    strength: f64,
    #[schemars(range(min = 1, max = 9))]
    steps: u32,
    prompt: String,
    mode: Mode,
    mirrored: bool,
}

#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Soft,
    Hard,
}

impl Look {
    fn new() -> Self {
        Self(Wanted { strength: 0.5, steps: 4, prompt: "a cat".into(), mode: Mode::Soft, mirrored: false })
    }
}

impl FrameProcessor for Look {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        stream.emit(&self.0)?;
        Ok(Some(frame))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.0)
    }

    async fn update_params(&mut self, params: &Params, stream: &StreamContext) -> Result<()> {
        stream.emit(&json!({ "told": params, "strength": self.0.strength }))?;
        match self.0.prompt.is_empty() {
            true => Err("`prompt` is empty".into()),
            false => Ok(()),
        }
    }
}

/// A stream of [`Look`], and what it emits.
fn looking(params: Value) -> (Stream, Collected) {
    let (data, collected) = collector();
    let (ends, metrics) = (Ends::new().with_data(data), MetricsRegistry::new().unwrap());
    let stream = Stream::start_between(ends, &metrics, "test", &Look::new(), params, stream::every_frame());
    (stream, collected)
}

/// The values that a stream begins with, with some of them changed.
fn values(changed: Value) -> Value {
    let mut values =
        params_of(json!({"strength": 0.5, "steps": 4, "prompt": "a cat", "mode": "soft", "mirrored": false}));
    values.extend(params_of(changed));
    values.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_parameters_are_there_when_the_processor_is_told_of_them_and_at_each_frame() {
    let (mut stream, emitted) = looking(json!({"strength": 1}));
    let mut units = Clip::of(2).units();
    let second = units.split_off(1);
    stream.feed(units).await;
    stream.viewer.frames(1).await;
    let update = json!({"prompt": "a dog", "strength": 0.25, "mode": "hard"});
    stream.session.update_params(params_of(update.clone())).unwrap().known().await.unwrap();
    assert_eq!(
        Value::from(stream.session.status().params),
        json!({"prompt": "a dog", "strength": 0.25, "mode": "hard"})
    );
    stream.feed(second).await;
    stream.finish().await;
    assert_eq!(
        emitted.lines().await,
        [
            json!({"told": {"strength": 1}, "strength": 1.0}),
            values(json!({"strength": 1.0})),
            json!({"told": update, "strength": 0.25}),
            values(json!({"strength": 0.25, "prompt": "a dog", "mode": "hard"})),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_parameters_that_do_not_fit_are_refused_by_name_and_leave_everything_as_it_was() {
    let (mut stream, emitted) = looking(json!({}));
    let session = &stream.session;
    for (wrong, refusal) in [
        (json!({"strength": 7}), "`strength` is 7: a number from 0 to 1 is wanted"),
        (json!({"strength": "much"}), "`strength` is \"much\": a number from 0 to 1 is wanted"),
        (json!({"steps": 0}), "`steps` is 0: a whole number from 1 to 9 is wanted"),
        (json!({"steps": 2.5}), "`steps` is 2.5: a whole number from 1 to 9 is wanted"),
        (json!({"mirrored": 3}), "`mirrored` is 3: true or false is wanted"),
        (json!({"prompt": "a dog", "strength": -1}), "`strength` is -1: a number from 0 to 1 is wanted"),
        (json!({"strength": 1, "prompt": ""}), "`prompt` is empty"),
    ] {
        let refused = session.update_params(params_of(wrong)).unwrap().known().await.unwrap_err();
        assert!(refused.is_invalid(), "{refused}");
        assert_eq!(refused.to_string(), refusal);
    }
    for (wrong, named) in [(json!({"mode": "odd"}), "`mode`"), (json!({"prompt": 5}), "`prompt`")] {
        let refused = session.update_params(params_of(wrong)).unwrap().known().await.unwrap_err();
        assert!(refused.is_invalid() && refused.to_string().contains(named), "{refused}");
    }
    let unknown = session.update_params(params_of(json!({"strenght": 1, "prompt": "a dog"}))).unwrap_err();
    assert!(unknown.is_invalid() && unknown.to_string().starts_with("`strenght` is unknown"), "{unknown}");
    assert!(session.status().params.is_empty(), "{:?}", session.status().params);
    assert_eq!(session.metrics().error_count, 0, "who asked has heard it");
    stream.feed(Clip::of(1).units()).await;
    stream.finish().await;
    let told = json!({"told": {"strength": 1, "prompt": ""}, "strength": 1.0});
    assert_eq!(
        emitted.lines().await,
        [told, values(json!({}))],
        "only the last one got as far as the processor"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_start_with_parameters_that_do_not_fit() {
    let (data, _collected) = collector();
    let (ends, metrics) = (Ends::new().with_data(data), MetricsRegistry::new().unwrap());
    let params = params_of(json!({"colour": 1}));
    let unknown =
        Session::start(&Look::new(), "test", params, ends, StreamOptions::default(), &metrics).unwrap_err();
    assert!(unknown.is_invalid() && unknown.to_string().starts_with("`colour` is unknown"), "{unknown}");
    let (stream, _emitted) = looking(json!({"strength": 7}));
    ended(&stream.session).await;
    let status = stream.session.status();
    assert_eq!((status.state, status.end_reason), (StreamState::Error, Some(EndReason::ProcessorFailed)));
    let error = status.last_error.unwrap();
    assert!(error.contains("`strength` is 7: a number from 0 to 1 is wanted"), "{error}");
}

#[tokio::test]
async fn the_schema_of_a_composition_shows_typed_parameters_where_they_are_to_be_put() {
    let look = parallel(Look::new(), 2).named("look").then(from_fn(|frame| Ok(Some(frame))));
    let schema = look.params_schema();
    let strength = &schema["properties"]["look"]["properties"]["strength"];
    let limits = (strength["minimum"].as_f64(), strength["maximum"].as_f64());
    assert_eq!(limits, (Some(0.0), Some(1.0)), "{schema}");
    assert_eq!((&strength["default"], &strength["description"]), (&json!(0.5), &json!("How much of it.")));
    let context = StreamContext::new("test", params_of(json!({"look": {"strength": 1}})), Device::Cpu);
    let mut trial = Trial::start(&look, &context).await.unwrap();
    for params in [json!({"look": {"strength": 7}}), json!({"strength": 7})] {
        let refused = trial.update_params(&params_of(params)).await.unwrap_err().to_string();
        assert!(refused.starts_with("`strength` is 7: a number from 0 to 1 is wanted"), "{refused}");
    }
    trial.update_params(&params_of(json!({"strength": 0}))).await.unwrap();
}
