//! The contract as callers see it: paths, methods, codes, and the shapes of the answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use axum::routing::get;
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
use cutrickle_server::StreamServer;
use serde_json::json;
use support::{Passthrough, Upstream, Worker, call, golden};

/// Never initialised.
#[derive(Clone)]
struct Loading;

impl FrameProcessor for Loading {
    async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
        std::future::pending().await
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

/// Cannot be initialised.
#[derive(Clone)]
struct Broken;

impl FrameProcessor for Broken {
    async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
        Err("no weights at model.safetensors\nand a second line".into())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

#[tokio::test]
async fn an_idle_worker_answers_in_the_known_shapes() {
    let worker =
        StreamServer::builder(Passthrough).capability_name("restyle").model_id("small").version("1.2.3");
    let worker = Worker::with(worker).await;
    worker.until_health("IDLE").await;
    for (name, path) in [
        ("idle_health", "/health"),
        ("idle_status", "/api/stream/status"),
        ("idle_status", "/stream/status"),
        ("version", "/version"),
        ("app_version", "/app-version"),
        ("hardware_info", "/hardware/info"),
        ("hardware_stats", "/hardware/stats"),
    ] {
        golden(name, &worker.get(path).await);
    }
    golden("no_stream_params", &worker.post("/api/stream/params", "{}").await);
    golden("no_stream_stop", &worker.post("/api/stream/stop", "").await);
    golden("no_stream_named_stop", &worker.post_named("/api/stream/stop", "camera", "").await);
}

#[tokio::test]
async fn a_loading_worker_says_so_and_takes_no_stream() {
    let worker = Worker::with(StreamServer::builder(Loading)).await;
    golden("loading_health", &worker.get("/health").await);
    golden("loading_status", &worker.get("/api/stream/status").await);
    let start = json!({ "subscribe_url": "http://127.0.0.1:1/in" }).to_string();
    golden("loading_start", &worker.post("/api/stream/start", start).await);
    worker.shut_down().await;
}

#[tokio::test]
async fn a_worker_that_cannot_be_initialised_says_why() {
    let worker = Worker::with(StreamServer::builder(Broken)).await;
    worker.until_health("ERROR").await;
    golden("broken_health", &worker.get("/health").await);
    golden("broken_status", &worker.get("/api/stream/status").await);
    let start = json!({ "subscribe_url": "http://127.0.0.1:1/in" }).to_string();
    golden("broken_start", &worker.post("/api/stream/start", start).await);
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_started_told_asked_and_stopped_in_the_known_shapes() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let mut start = upstream.start();
    start["params"] = json!({ "width": 64, "height": "48", "prompt": "a cat" });
    start["gateway_request_id"] = json!("the header goes first");
    let start = start.to_string();
    golden("start", &worker.post_named("/api/stream/start", "camera", &start).await);
    golden("running_health", &worker.get("/health").await);
    golden("full_start", &worker.post("/stream/start", &start).await);
    golden("params", &worker.post("/api/stream/params", r#"{"prompt": "a dog", "max_framerate": 15}"#).await);
    golden(
        "params_of_the_wrong_type",
        &worker.post("/api/stream/params", r#"{"max_framerate": "fast"}"#).await,
    );
    golden("params_other_stream", &worker.post_named("/stream/params", "other", "{}").await);
    golden("running_status", &worker.get("/api/stream/status").await);
    golden("stop", &worker.post_named("/api/stream/stop", "camera", "stop it").await);
    golden("stop_again", &worker.post_named("/api/stream/stop", "camera", "").await);
    golden("no_stream_stop", &worker.post("/stream/stop", "").await);
    golden("ended_status", &worker.get("/api/stream/status").await);
    golden("idle_health", &worker.get("/health").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_start_and_stop_means_the_same() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let start = upstream.start().to_string();
    for path in ["/api/stream/start", "/stream/start", "/live-video-to-video"] {
        golden("start_unnamed", &worker.post(path, &start).await);
        worker.post("/stream/stop", "").await.succeeds();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_request_names_a_stream_without_a_header() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let mut start = upstream.start();
    start["gateway_request_id"] = json!("req-7");
    for channel in ["control_url", "events_url", "data_url"] {
        start[channel] = json!("http://127.0.0.1:1/x");
    }
    let answer = worker.post("/stream/start", start.to_string()).await.succeeds();
    assert_eq!((&answer["stream_id"], &answer["request_id"]), (&json!("req-7"), &json!("req-7")));
    worker.post_named("/stream/stop", "another", "").await.refuses(400, "another");
    worker.post_named("/stream/stop", "req-7", "").await.succeeds();
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let worker = Worker::idle().await;
    golden("unknown_path", &worker.get("/api/stream/begin").await);
    worker.get("/health/").await.refuses(404, "/health/");
    let answer = worker.get("/api/stream/start").await;
    assert_eq!(answer.header("allow"), Some("POST"));
    golden("wrong_method", &answer);
    let answer = worker.post("/health", "").await;
    answer.refuses(405, "/health");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_prometheus_text_with_the_stream_in_them() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    worker.post_named("/stream/start", "camera", upstream.start().to_string()).await.succeeds();
    let answer = worker.get("/metrics").await;
    assert_eq!((answer.code, answer.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains(r#"cutrickle_frames_processed_total{stream="camera"} 0"#), "{text}");
    worker.post("/stream/stop", "").await.succeeds();
    let text = String::from_utf8(worker.get("/metrics").await.body).unwrap();
    for line in [
        r#"cutrickle_frames_processed_total{stream="camera"} 0"#,
        "cutrickle_worker_frames_processed_total 0",
        "cutrickle_streams_running 0",
        "cutrickle_streams_started_total 1",
        r#"cutrickle_streams_ended_total{reason="stopped"} 1"#,
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
    }
    assert!(!text.contains("cutrickle_fps{"), "a stream that has ended has no rate: {text}");
}

#[tokio::test]
async fn a_page_of_any_origin_may_call() {
    let worker = Worker::idle().await;
    let headers = [
        ("Origin", "http://page.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type,x-stream-id"),
    ];
    let answer = call(worker.address, "OPTIONS", "/api/stream/start", &headers, b"").await;
    assert_eq!(answer.code, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let answer = call(worker.address, "GET", "/nowhere", &headers[..1], b"").await;
    assert_eq!((answer.code, answer.header("access-control-allow-origin")), (404, Some("*")));
}

#[tokio::test]
async fn own_routes_stand_behind_the_contracts() {
    let builder = StreamServer::builder(Passthrough)
        .route("/page", get(async || "a page"))
        .route("/health", get(async || "not the contract's"))
        .merge(axum::Router::new().route("/other", get(async || "another")).fallback(async || "mine"));
    let worker = Worker::with(builder).await;
    assert_eq!(worker.get("/page").await.body, b"a page");
    assert_eq!(worker.get("/other").await.body, b"another");
    worker.until_health("IDLE").await;
    worker.get("/nowhere").await.refuses(404, "/nowhere");
    let answer = worker.post("/page", "").await;
    answer.refuses(405, "/page");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}
