//! New parameters over REST: what the processor refuses is refused, and the status shows what is in force.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::sync::Arc;

use candle_core::Device;

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Compose;
use cutrickle_pipeline::{FrameProcessor, Params, Result, Stage, StreamContext, TypedParams};
use cutrickle_server::StreamServer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{Passthrough, Upstream, Worker, golden, until};
use tokio::sync::Semaphore;

/// Takes `strength`, which it checks itself: 0 to 1. Begins a stream when it is let.
#[derive(Clone)]
struct Strength {
    lets: Arc<Semaphore>,
    params: Unchecked,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
struct Unchecked {
    strength: f64,
}

impl Strength {
    fn new() -> Self {
        Self { lets: Arc::new(Semaphore::new(1)), params: Unchecked::default() }
    }
}

impl FrameProcessor for Strength {
    async fn on_stream_start(&mut self, _: &StreamContext) -> Result<()> {
        drop(self.lets.acquire().await?);
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        match params.get("strength") {
            Some(strength) if !strength.as_f64().is_some_and(|strength| (0.0..=1.0).contains(&strength)) => {
                Err(format!("`strength` is {strength}: 0 to 1 is wanted\nand a second line").into())
            }
            _ => Ok(()),
        }
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

/// Takes what its struct says, and never finishes loading where it is told so.
#[derive(Clone, Default)]
struct Blur {
    params: Ranges,
    loads_forever: bool,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Ranges {
    /// Of the blur, in pixels.
    #[schemars(range(min = 0.0, max = 32.0))]
    radius: f64,
    /// Whether edges stay sharp.
    edges: bool,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { radius: 2.5, edges: true }
    }
}

impl FrameProcessor for Blur {
    async fn initialize(&mut self, _: &Device) -> Result<()> {
        if self.loads_forever { std::future::pending().await } else { Ok(()) }
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

async fn started(processor: impl Stage, params: Value) -> (Worker, Upstream) {
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(processor)).await;
    worker.until_health("IDLE").await;
    let mut start = upstream.start();
    start["params"] = params;
    worker.post_named("/stream/start", "camera", start.to_string()).await.succeeds();
    (worker, upstream)
}

async fn in_force(worker: &Worker) -> Value {
    worker.get("/stream/status").await.json()["params"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_processor_refuses_is_400_with_its_reason_and_not_in_force() {
    let (worker, _upstream) = started(Strength::new(), json!({"strength": 0.5})).await;
    let refused = worker.post("/stream/params", r#"{"strength": 7, "max_framerate": 5}"#).await;
    refused.refuses(400, "`strength` is 7: 0 to 1 is wanted");
    golden("params_refused", &refused);
    let status = worker.get("/stream/status").await.json();
    assert_eq!(status["params"], json!({"strength": 0.5}));
    assert_eq!(
        (&status["last_error"], &status["error_count"]),
        (&Value::Null, &json!(0)),
        "the caller has been told"
    );
    worker.post("/stream/params", r#"{"strength": 1}"#).await.succeeds();
    assert_eq!(in_force(&worker).await, json!({"strength": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_processor_does_not_take_is_400_at_the_start_and_later() {
    let (worker, upstream) = started(Strength::new(), json!({})).await;
    let refused = worker.post("/stream/params", r#"{"strenght": 1}"#).await;
    refused.refuses(400, "`strenght`");
    golden("params_unknown", &refused);
    assert_eq!(in_force(&worker).await, json!({}));
    worker.post("/stream/stop", "").await.succeeds();
    let mut start = upstream.start();
    start["params"] = json!({"strength": 1, "prompt": "a cat"});
    worker.post("/stream/start", start.to_string()).await.refuses(400, "`prompt`");
    assert_eq!(worker.get("/health").await.json()["status"], "IDLE", "the slot is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_is_busy_is_202_and_its_refusal_the_streams_error() {
    let processor = Strength::new();
    let busy = Arc::clone(&processor.lets).acquire_owned().await.unwrap();
    let (worker, _upstream) = started(processor, json!({})).await;
    let answer = worker.post("/stream/params", r#"{"strength": 7}"#).await;
    assert_eq!(answer.code, 202);
    golden("params_not_yet", &answer);
    drop(busy);
    until(async || worker.get("/stream/status").await.json()["last_error"].is_string()).await;
    let status = worker.get("/stream/status").await.json();
    assert!(status["last_error"].as_str().unwrap().contains("`strength` is 7"), "{status}");
    assert_eq!(status["params"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_before_its_processor_answers_says_so() {
    let processor = Strength::new();
    let busy = Arc::clone(&processor.lets).acquire_owned().await.unwrap();
    let (worker, _upstream) = started(processor, json!({})).await;
    let (updated, stopped) = tokio::join!(worker.post("/stream/params", r#"{"strength": 1}"#), async {
        let stopping = worker.post("/stream/stop", "");
        drop(busy);
        stopping.await
    });
    stopped.succeeds();
    assert!([200, 400].contains(&updated.code), "by who was first: {}", updated.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_composition_the_status_shows_the_part_that_is_in_force() {
    let both = Strength::new().named("first").then(Strength::new().named("second"));
    let (worker, _upstream) = started(both, json!({})).await;
    let update = json!({"first": {"strength": 7}, "second": {"strength": 1}}).to_string();
    let refused = worker.post("/stream/params", update).await;
    refused.refuses(400, "`strength` is 7");
    refused.refuses(400, r#"{"second":{"strength":1}}"#);
    assert_eq!(in_force(&worker).await, json!({"second": {"strength": 1}}));
    worker.post("/stream/params", r#"{"second": {"x": 1}}"#).await.refuses(400, "`second.x`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_its_type_is_400_and_not_in_force() {
    let (worker, _upstream) = started(Blur::default(), json!({"radius": 4})).await;
    for (update, reason) in [
        (json!({"radius": 64}), "`radius` is 64: a number from 0 to 32 is wanted"),
        (json!({"radius": 8, "edges": "soft"}), "`edges` is \"soft\": true or false is wanted"),
    ] {
        worker.post("/stream/params", update.to_string()).await.refuses(400, reason);
        assert_eq!(in_force(&worker).await, json!({"radius": 4}));
    }
    worker.post("/stream/params", r#"{"radius": 8, "edges": false}"#).await.succeeds();
    assert_eq!(in_force(&worker).await, json!({"radius": 8, "edges": false}));
}

#[tokio::test]
async fn the_schema_is_that_of_the_processors_parameters_also_while_it_loads() {
    let loading = Worker::with(StreamServer::builder(Blur { loads_forever: true, ..Blur::default() })).await;
    assert_eq!(loading.get("/health").await.json()["status"], "LOADING");
    golden("schema", &loading.get("/api/stream/schema").await);
    loading.shut_down().await;
    let loaded = Worker::with(StreamServer::builder(Blur::default())).await;
    loaded.until_health("IDLE").await;
    golden("schema", &loaded.get("/api/stream/schema").await);
    let both = Blur::default().named("first").then(Blur::default().named("second"));
    golden("schema_of_two", &Worker::with(StreamServer::builder(both)).await.get("/api/stream/schema").await);
    golden(
        "schema_of_any",
        &Worker::with(StreamServer::builder(Passthrough)).await.get("/api/stream/schema").await,
    );
}
