//! What every path of the API answers, in every state that a worker can be in. One golden file a state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use candle_core::{Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::{FrameProcessor, Generated, Result, StreamContext};
use cutrickle_server::{StreamServer, StreamServerBuilder};
use serde_json::{Map, Value, json};
use support::{Answer, Upstream, Worker, compare_golden, level, until};

/// Draws, and does what streams of these names are to show.
#[derive(Clone)]
struct Actor {
    initialize: Initialize,
}

#[derive(Clone, Copy)]
enum Initialize {
    Succeeds,
    Hangs,
    Fails,
}

impl FrameProcessor for Actor {
    async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
        match self.initialize {
            Initialize::Succeeds => Ok(()),
            Initialize::Hangs => std::future::pending().await,
            Initialize::Fails => Err("no weights at model.safetensors".into()),
        }
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        if stream.id == "broken" {
            return Err("no memory for this stream".into());
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn generate(&mut self, timestamp: Timestamp, stream: &StreamContext) -> Result<Generated> {
        if stream.id == "failing" {
            return Err("the model has diverged".into());
        }
        let pixels = Tensor::full(128u8, (64, 64, 3), &Device::Cpu)?;
        Ok(Generated { video: Some(VideoFrame::from_tensor(pixels, timestamp)?), audio: Vec::new() })
    }
}

async fn worker(
    initialize: Initialize,
    change: impl FnOnce(StreamServerBuilder) -> StreamServerBuilder,
) -> Worker {
    let builder = StreamServer::builder(Actor { initialize }).capability_name("act");
    Worker::with(change(builder)).await
}

/// A worker with these streams, all of which make pictures from nothing.
async fn with_streams(upstream: &Upstream, names: &[&str]) -> Worker {
    let worker = worker(Initialize::Succeeds, |builder| builder.capacity(names.len())).await;
    worker.until_health("IDLE").await;
    for name in names {
        let mut start = upstream.start();
        start["subscribe_url"] = Value::Null;
        start["publish_url"] = json!(start["publish_url"].as_str().unwrap().replace("out", name));
        worker.post_named("/stream/start", name, start.to_string()).await.succeeds();
    }
    worker
}

async fn until_state(worker: &Worker, name: &str, state: &str) {
    let path = format!("/stream/status?stream={name}");
    until(async || worker.get(&path).await.json()["state"] == state).await;
}

/// All that a worker answers: everything that can be read, then new parameters, a start and a stop.
async fn everything(state: &str, worker: &Worker, start: &Value) {
    let document = worker.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let mut seen = Map::new();
    let note = |seen: &mut Map<String, Value>, method: &str, path: &str, answer: &Answer| {
        seen.insert(format!("{method} {path}"), shape(path, answer));
    };
    for path in paths.iter().filter(|(_, methods)| methods.get("get").is_some()).map(|(path, _)| path) {
        note(&mut seen, "GET", path, &worker.get(path).await);
    }
    let posts =
        |ends: &'static [&str]| paths.keys().filter(move |path| ends.iter().any(|end| path.ends_with(end)));
    for path in posts(&["params"]) {
        note(&mut seen, "POST", path, &worker.post(path, "{}").await);
    }
    for path in posts(&["start", "video-to-video"]) {
        note(&mut seen, "POST", path, &worker.post(path, start.to_string()).await);
    }
    for path in posts(&["stop"]) {
        note(&mut seen, "POST", path, &worker.post(path, "").await);
    }
    assert_eq!(seen.len(), paths.len());
    compare_golden(&format!("state_{state}"), &Value::Object(seen));
}

fn shape(path: &str, answer: &Answer) -> Value {
    let body = match path {
        "/openapi.json" => json!("<the document>"),
        // The names of the series: what they count differs from run to run.
        "/metrics" => {
            let text = String::from_utf8(answer.body.clone()).unwrap();
            let series = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
            let name = |line: &str| {
                line.rsplit_once(' ').unwrap().0.replace(env!("CARGO_PKG_VERSION"), "<this version>")
            };
            series.map(name).collect()
        }
        _ => {
            let mut body = answer.json();
            level(&mut body);
            body
        }
    };
    json!({ "code": answer.code, "content-type": answer.header("content-type"), "body": body })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_loads() {
    let (worker, upstream) = (worker(Initialize::Hangs, |builder| builder).await, Upstream::new().await);
    everything("loading", &worker, &upstream.start()).await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_could_not_load() {
    let (worker, upstream) = (worker(Initialize::Fails, |builder| builder).await, Upstream::new().await);
    worker.until_health("ERROR").await;
    everything("error", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker() {
    let upstream = Upstream::new().await;
    let worker = worker(Initialize::Succeeds, |builder| builder.version("1.2.3").model_id("small")).await;
    worker.until_health("IDLE").await;
    everything("idle", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_one_stream() {
    let upstream = Upstream::new().await;
    let worker = with_streams(&upstream, &["camera"]).await;
    until(async || worker.get("/stream/status").await.json()["fps"].as_f64() > Some(1.0)).await;
    everything("one_stream", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_two_streams() {
    let upstream = Upstream::new().await;
    let worker = with_streams(&upstream, &["left", "right"]).await;
    for name in ["left", "right"] {
        let path = format!("/stream/status?stream={name}");
        until(async || worker.get(&path).await.json()["fps"].as_f64() > Some(1.0)).await;
    }
    everything("two_streams", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_input_is_missing() {
    let upstream = Upstream::new().await;
    let worker = worker(Initialize::Succeeds, |builder| builder).await;
    worker.until_health("IDLE").await;
    worker.post_named("/stream/start", "silent", upstream.start().to_string()).await.succeeds();
    until_state(&worker, "silent", "DEGRADED_INPUT").await;
    everything("degraded_input", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_processor_fails_again_and_again() {
    let upstream = Upstream::new().await;
    let worker = with_streams(&upstream, &["failing"]).await;
    until_state(&worker, "failing", "DEGRADED_INFERENCE").await;
    everything("degraded_inference", &worker, &upstream.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_stream_has_ended_by_an_error() {
    let upstream = Upstream::new().await;
    let worker = with_streams(&upstream, &["broken"]).await;
    worker.until_health("IDLE").await;
    everything("stream_error", &worker, &upstream.start()).await;
}
