//! Control, events and data beside the media, and streams that lack some of their ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use candle_core::{DType, Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;
use cutrickle_pipeline::{FrameProcessor, Generated, Params, Result, StreamContext, StreamState};
use cutrickle_trickle::Publisher;
use live::{
    Channels, Clip, DEADLINE, Documents, Untouched, Viewer, assert_accounted, ended, every_frame, judge,
    until, with,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

async fn publish(publisher: &mut Publisher, document: &'static [u8]) {
    let mut segment = publisher.segment().await.unwrap();
    segment.write(Bytes::from_static(document)).await.unwrap();
    segment.finish();
}

/// Emits a line for each frame, and tells what parameters it is given.
#[derive(Clone)]
struct Reporter {
    given: mpsc::UnboundedSender<Params>,
    withhold: bool,
}

impl Reporter {
    fn new() -> (Self, mpsc::UnboundedReceiver<Params>) {
        let (given, params) = mpsc::unbounded_channel();
        (Self { given, withhold: false }, params)
    }
}

impl FrameProcessor for Reporter {
    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        self.given.send(params.clone())?;
        Ok(())
    }

    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        stream.emit(&json!({ "at": frame.timestamp().ticks() }))?;
        Ok((!self.withhold).then_some(frame))
    }
}

async fn given(params: &mut mpsc::UnboundedReceiver<Params>) -> Value {
    let params = tokio::time::timeout(DEADLINE, params.recv()).await.expect("parameters");
    Value::Object(params.expect("the processor lives"))
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_over_the_control_channel_and_a_malformed_message_costs_only_itself() {
    let channels = Channels::new().await;
    for channel in ["control", "events", "out"] {
        channels.open(channel).await;
    }
    let mut events = Documents::new(&channels.url("events"));
    let mut control = channels.publisher("control");
    let (reporter, mut params) = Reporter::new();
    let request = channels.request(&["in", "out", "control", "events"]);
    let session = channels.run(&reporter, request, every_frame());

    publish(&mut control, br#"{"strength": 0.5, "max_framerate": 20}"#).await;
    assert_eq!(
        given(&mut params).await,
        json!({"strength": 0.5}),
        "the framework's own are not the processor's"
    );
    for message in [&b"{\"keep\":\"alive\"}"[..], b"no JSON", b"[1]", br#"{"max_framerate": "fast"}"#] {
        publish(&mut control, message).await;
    }
    publish(&mut control, br#"{"strength": 1}"#).await;
    assert_eq!(given(&mut params).await, json!({"strength": 1}));
    assert_eq!(session.metrics().error_count, 3, "{:?}", session.status().last_error);

    session.stop();
    ended(&session).await;
    let mut kinds = Vec::new();
    let mut refused = Vec::new();
    while let Some(event) = events.next().await {
        let event: Value = serde_json::from_slice(&event).unwrap();
        let kind = event["event"]["type"].as_str().unwrap().to_owned();
        let queue = if kind == "heartbeat" { "stream_heartbeat" } else { "ai_stream_events" };
        assert_eq!(event["queue_event_type"], queue, "{event}");
        assert!(event["event"]["timestamp"].as_u64() > Some(1_700_000_000_000), "{event}");
        if kind == "error" {
            refused.push(event["event"]["message"].as_str().unwrap().to_owned());
        }
        kinds.push(kind);
    }
    assert_eq!(kinds.first().map(String::as_str), Some("stream_started"), "{kinds:?}");
    assert_eq!(kinds.last().map(String::as_str), Some("stream_stopped"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "params_updated").count(), 2, "{kinds:?}");
    assert!(kinds.iter().any(|kind| kind == "heartbeat"), "{kinds:?}");
    // Errors within one second are one event.
    assert!(
        refused.first().is_some_and(|text| text.starts_with("control: segment 2: not JSON")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_parameters_come_faster_than_they_are_taken_the_newest_wins() {
    let channels = Channels::new().await;
    channels.open("control").await;
    let mut control = channels.publisher("control");
    let (reporter, mut params) = Reporter::new();
    let session = channels.run(&reporter, channels.request(&["in", "control"]), every_frame());
    for message in [&br#"{"n": 0}"#[..], br#"{"n": 1}"#, br#"{"n": 2}"#, br#"{"n": 3, "last": true}"#] {
        publish(&mut control, message).await;
    }
    let mut seen = Vec::new();
    loop {
        let params = given(&mut params).await;
        seen.push(params["n"].as_u64().unwrap());
        if params["last"] == true {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.last() == Some(&3), "{seen:?}");
    session.stop();
    ended(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_hears_of_the_first_segments_and_of_the_status() {
    let Some(segments) = (Clip { seconds: 2, audio: None, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    channels.open("events").await;
    channels.open("out").await;
    let mut events = Documents::new(&channels.url("events"));
    let options = with(every_frame(), |options| {
        (options.status_events, options.pipeline) = (true, "restyle".into());
    });
    let session = channels.run(&Untouched, channels.request(&["in", "out", "events"]), options);
    let viewer = Viewer::new(&channels.url("out"));
    let mut source = channels.source();
    source.send_all(&segments, &viewer, 30).await;

    let (mut wanted, mut status) =
        (vec!["receive_first_ingest_segment", "send_first_processed_segment"], None);
    while !wanted.is_empty() || status.is_none() {
        let event = events.json().await;
        let kind = event["event"]["type"].as_str().unwrap();
        wanted.retain(|wanted| *wanted != kind);
        if kind == "status" {
            status = Some(event["event"].clone());
        }
    }
    let status = status.unwrap();
    assert_eq!(status["pipeline"], "restyle");
    for field in ["start_time", "state", "last_state_update_time"] {
        assert!(!status[field].is_null(), "{field}: {status}");
    }
    for (part, fields) in [
        ("input_status", &["last_input_time", "fps"][..]),
        (
            "inference_status",
            &[
                "last_output_time",
                "fps",
                "last_params",
                "last_params_hash",
                "last_params_update_time",
                "last_error",
                "last_error_time",
                "restart_count",
                "last_restart_time",
                "last_restart_logs",
            ],
        ),
    ] {
        let names: Vec<_> = status[part].as_object().unwrap().keys().map(String::as_str).collect();
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        assert_eq!(names, fields, "{part}");
    }
    source.end().await;
    ended(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_need_no_output() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    channels.open("data").await;
    let mut data = Documents::new(&channels.url("data"));
    let (mut reporter, _params) = Reporter::new();
    reporter.withhold = true;
    let session = channels.run(&reporter, channels.request(&["in", "data"]), every_frame());
    let mut source = channels.source();
    for segment in &segments {
        source.send(segment).await;
        source.settled(&session).await;
    }
    assert_eq!(session.status().state, StreamState::Online);
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    let mut lines = String::new();
    while let Some(batch) = data.next().await {
        assert!(batch.ends_with(b"\n"));
        lines += std::str::from_utf8(&batch).unwrap();
    }
    let stamps: Vec<i64> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["at"].as_i64().unwrap())
        .collect();
    assert_eq!(stamps.len() as u64, session.metrics().frames_processed);
    assert!(stamps.len() >= 30 && stamps.is_sorted(), "{stamps:?}");
    assert_eq!(session.metrics().data_lines_dropped, 0);
    assert_eq!(session.status().backends.video_encode, None, "nothing is encoded that nobody sees");
}

/// Makes frames and audio of nothing.
#[derive(Clone, Default)]
struct Clock {
    drawn: u32,
}

impl FrameProcessor for Clock {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn generate(&mut self, timestamp: Timestamp, stream: &StreamContext) -> Result<Generated> {
        self.drawn += 1;
        stream.emit(&self.drawn)?;
        let grey = Tensor::full((self.drawn % 250) as u8, (120, 160, 3), &Device::Cpu)?;
        let audio = Tensor::zeros((1, 1920), DType::F32, &Device::Cpu)?;
        Ok(Generated {
            video: Some(VideoFrame::from_tensor(grey, timestamp)?),
            audio: vec![AudioFrame::from_tensor(audio, 48_000, timestamp)?],
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_input_generates_at_the_rate_that_is_asked_for() {
    let channels = Channels::new().await;
    channels.open("out").await;
    let viewer = Viewer::new(&channels.url("out"));
    let options = with(every_frame(), |options| options.target_fps = Some(25));
    let session = channels.run(&Clock::default(), channels.request(&["out"]), options);
    viewer.frames(60).await;
    assert_eq!(session.status().state, StreamState::Online);
    session.stop();
    ended(&session).await;
    assert_accounted(&session);
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status().last_error);
    let verdict = judge(&viewer.end().await.bytes);
    assert_eq!(verdict.complaints, "");
    assert_eq!((verdict.codecs.len(), verdict.size), (2, Some((160, 120))));
    // On the grid of 40 ms, whatever the machine was busy with meanwhile.
    for pair in verdict.video.windows(2) {
        let moments = (pair[1] - pair[0]) / 0.040;
        assert!((moments - moments.round()).abs() < 0.01 && moments > 0.9, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_have_nothing_but_data() {
    let channels = Channels::new().await;
    channels.open("data").await;
    let mut data = Documents::new(&channels.url("data"));
    let session = channels.run(&Clock::default(), channels.request(&["data"]), every_frame());
    until(&session, |m| m.data_lines >= 12).await;
    session.stop();
    ended(&session).await;
    let mut lines = Vec::new();
    while let Some(batch) = data.next().await {
        lines.extend(batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    }
    assert_eq!(lines.len() as u64, session.metrics().data_lines);
    assert_eq!(lines[0], b"1");
}

/// Blocks its thread until it is let go.
#[derive(Clone)]
struct Busy {
    computing: Arc<AtomicBool>,
    let_go: Arc<Barrier>,
}

impl Busy {
    fn new() -> Self {
        Self { computing: Arc::default(), let_go: Arc::new(Barrier::new(2)) }
    }

    fn is_computing(&self) -> bool {
        self.computing.load(Ordering::SeqCst)
    }
}

impl FrameProcessor for Busy {
    async fn process_video(&mut self, _: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(None)
    }

    async fn on_stream_start(&mut self, _: &StreamContext) -> Result<()> {
        self.computing.store(true, Ordering::SeqCst);
        self.let_go.wait();
        self.computing.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// The runtime's clock stands still while anybody has anything to do, and jumps to the next moment that somebody waits
/// for when nobody has: a minute of it passes at once. The processor's thread, which is none of the runtime's, is blocked
/// all the while in fact.
#[tokio::test(start_paused = true)]
async fn six_hearts_beat_in_a_minute_of_computing_and_a_silent_data_channel_is_kept_alive() {
    let channels = Channels::new().await;
    for channel in ["in", "events", "data"] {
        channels.open(channel).await;
    }
    let mut events = Documents::new(&channels.url("events"));
    let mut data = Documents::new(&channels.url("data"));
    let processor = Busy::new();
    let session = channels.run(&processor, channels.request(&["in", "events", "data"]), every_frame());
    while !processor.is_computing() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let mut beats = Vec::new();
    while beats.len() < 7 {
        if events.json().await["event"]["type"] == "heartbeat" {
            beats.push(begun.elapsed().as_secs_f64());
        }
    }
    // The first is sent at once.
    assert!(beats[0] < 1.0 && beats[6] < 61.0, "{beats:?}");
    assert!(beats.windows(2).all(|pair| (9.0..11.0).contains(&(pair[1] - pair[0]))), "{beats:?}");
    assert_eq!(data.next().await.unwrap(), Bytes::from_static(b"\n"), "an empty batch");
    assert!(processor.is_computing());
    tokio::time::resume();
    processor.let_go.wait();
    session.stop();
    ended(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_hears_of_the_end_of_a_stream_that_had_to_be_abandoned() {
    let channels = Channels::new().await;
    channels.open("events").await;
    let mut events = Documents::new(&channels.url("events"));
    let processor = Busy::new();
    let options = with(every_frame(), |options| options.stop_deadline = Duration::from_millis(100));
    let session = channels.run(&processor, channels.request(&["data", "events"]), options);
    session.stop();
    ended(&session).await;
    assert_eq!(session.status().state, StreamState::Error);
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        last = serde_json::from_slice(&event).unwrap();
    }
    assert_eq!(last["event"]["type"], "stream_stopped");
    processor.let_go.wait();
}
