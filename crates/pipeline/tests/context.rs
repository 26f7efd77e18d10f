//! What a processor knows of its stream, from its first call on, and its ways to the channels beside the media.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::sync::{Arc, Mutex};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;
use cutrickle_pipeline::compose::{Compose, buffered, parallel, with_timeout};
use cutrickle_pipeline::ends::memory;
use cutrickle_pipeline::{
    Ends, FrameProcessor, Generated, MetricsRegistry, Params, Result, Session, StreamContext, StreamOptions,
};
use serde_json::{Value, json};
use stream::{Clip, DEADLINE, Stream, collector, ended, every_frame, number, params_of, until};

/// Notes each call, and what it was told of the stream.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Call>>>);

/// The name of a call, and the stream's name and parameters in it.
type Call = (&'static str, String, Value);

impl Noting {
    fn note(&self, call: &'static str, stream: &StreamContext) {
        assert!(stream.device.is_cpu());
        self.0.lock().unwrap().push((call, stream.id.clone(), stream.params.clone().into()));
    }

    /// The calls. In each the stream was the one of this name with these parameters.
    #[track_caller]
    fn of(&self, id: &str, params: &Value) -> Vec<&'static str> {
        let calls = self.0.lock().unwrap();
        for (call, stream, given) in calls.iter() {
            assert_eq!((stream.as_str(), given), (id, params), "{call}");
        }
        calls.iter().map(|(call, ..)| *call).collect()
    }
}

impl FrameProcessor for Noting {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        self.note("video", stream);
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, stream: &StreamContext) -> Result<Vec<AudioFrame>> {
        self.note("audio", stream);
        Ok(vec![frame])
    }

    async fn generate(&mut self, _: Timestamp, stream: &StreamContext) -> Result<Generated> {
        self.note("generate", stream);
        Ok(Generated::default())
    }

    async fn update_params(&mut self, _: &Params, stream: &StreamContext) -> Result<()> {
        self.note("params", stream);
        Ok(())
    }

    async fn on_stream_stop(&mut self, stream: &StreamContext) -> Result<()> {
        self.note("stop", stream);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_the_same_in_every_call_from_the_first_on() {
    let noting = Noting::default();
    let clip = Clip { audio: true, ..Clip::of(2) };
    let metrics = MetricsRegistry::new().unwrap();
    let params = json!({"prompt": "a cat", "max_framerate": 30});
    let mut stream = Stream::start_in(&metrics, "s7", &noting, params, every_frame());
    stream.tracks(clip.tracks()).await;
    stream.feed(clip.units()).await;
    stream.viewer.frames(2).await;
    let update = params_of(json!({"prompt": "a dog"}));
    stream.session.update_params(update).unwrap().known().await.unwrap();
    stream.finish().await;
    // What it was started with, less what is the framework's.
    let calls = noting.of("s7", &json!({"prompt": "a cat"}));
    assert_eq!(calls.first(), Some(&"params"), "{calls:?}");
    assert_eq!(calls.last(), Some(&"stop"), "{calls:?}");
    let count = |call| calls.iter().filter(|of| **of == call).count();
    assert_eq!((count("params"), count("video"), count("stop")), (2, 2, 1), "{calls:?}");
    assert!(count("audio") > 0, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_generated_is_known_as_well() {
    let noting = Noting::default();
    let (sink, _output) = memory::sink(1);
    let (ends, metrics) = (Ends::new().with_sink(sink), MetricsRegistry::new().unwrap());
    let session =
        Session::start(&noting, "s8", Params::new(), ends, StreamOptions::default(), &metrics).unwrap();
    until(&session, |_| !noting.0.lock().unwrap().is_empty()).await;
    session.stop();
    ended(&session).await;
    assert_eq!(noting.of("s8", &json!({})).first(), Some(&"generate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_composition_knows_the_stream_and_its_own_parameters() {
    let parts: [Noting; 4] = Default::default();
    let [plain, threads, futures, limited] = parts.clone();
    let stage = plain
        .named("plain")
        .then(parallel(threads, 2).named("threads"))
        .then(buffered(futures, 2).named("futures"))
        .then(with_timeout(limited, DEADLINE).named("limited"));
    let metrics = MetricsRegistry::new().unwrap();
    let params = json!({"plain": {"x": 0}, "threads": {"x": 1}, "futures": {"x": 2}, "limited": {"x": 3}});
    let mut stream = Stream::start_in(&metrics, "s9", &stage, params, every_frame());
    stream.feed(Clip::of(4).units()).await;
    stream.finish().await;
    for (x, part) in parts.iter().enumerate() {
        let calls = part.of("s9", &json!({ "x": x }));
        assert_eq!(calls.iter().filter(|call| **call == "video").count(), 4, "{x}: {calls:?}");
        assert_eq!(calls.first(), Some(&"params"), "{x}: {calls:?}");
    }
}

/// Emits the number of each frame, and tells the gateway of it.
#[derive(Clone)]
struct Telling;

impl FrameProcessor for Telling {
    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        Ok(stream.emit(&"started")?)
    }

    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        stream.emit(&number(&frame))?;
        stream.send_monitoring_event("frame", &json!({ "number": number(&frame) }))?;
        assert!(stream.send_monitoring_event("frame", &"no object").unwrap_err().is_invalid());
        Ok(Some(frame))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_processor_emits_and_the_events_that_it_sends_reach_the_documents() {
    let ((data, emitted), (events, mut told)) = (collector(), collector());
    let ends = Ends::new().with_data(data).with_events(events);
    let metrics = MetricsRegistry::new().unwrap();
    let mut stream = Stream::start_between(ends, &metrics, "s10", &Telling, json!({}), every_frame());
    stream.feed(Clip::of(20).units()).await;
    let (session, _) = stream.finish().await;
    let m = session.metrics();
    assert_eq!((m.data_lines, m.data_lines_dropped, m.events_dropped, m.error_count), (21, 0, 0, 0), "{m:?}");
    let lines = emitted.lines().await;
    assert_eq!(lines[0], "started");
    assert_eq!(lines[1..], (0..20).map(Value::from).collect::<Vec<_>>());

    let mut all = Vec::new();
    while let Some(event) = told.next().await {
        all.push(serde_json::from_slice::<Value>(&event).unwrap());
    }
    let kind = |event: &Value| event["event"]["type"].as_str().unwrap().to_owned();
    assert_eq!(all.first().map(kind).as_deref(), Some("stream_started"), "{all:?}");
    assert_eq!(all.last().map(kind).as_deref(), Some("stream_stopped"), "{all:?}");
    assert!(all.iter().all(|event| event["event"]["stream_id"] == "s10"), "{all:?}");
    let frames: Vec<_> = all.iter().filter(|event| kind(event) == "frame").collect();
    assert!(frames.iter().all(|event| event["queue_event_type"] == "ai_stream_events"), "{frames:?}");
    let numbers: Vec<_> = frames.iter().map(|event| event["event"]["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}

#[test]
fn what_a_processor_that_is_tried_out_emits_goes_nowhere() {
    let context = StreamContext::new("trial", params_of(json!({"x": 1})), Device::Cpu);
    context.emit(&1).unwrap();
    context.send_monitoring_event("frame", &json!({})).unwrap();
    assert_eq!(
        (context.id.as_str(), &context.params["x"], context.show_loading()),
        ("trial", &json!(1), false)
    );
}
