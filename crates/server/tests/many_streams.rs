//! Several streams in one worker: slots, names, and that they leave each other alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use cutrickle_frame::VideoFrame;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::{FrameProcessor, Generated, Params, Result, StreamContext};
use cutrickle_server::StreamServer;
use serde_json::{Value, json};
use support::{Answer, Passthrough, Upstream, Worker, golden, until};

async fn started(worker: &Worker, upstream: &Upstream, name: &str) {
    let mut body = upstream.start();
    body["publish_url"] = Value::Null;
    body["data_url"] = Value::Null;
    let answer = worker.post_named("/stream/start", name, body.to_string()).await;
    assert_eq!((answer.code, &answer.json()["stream_id"]), (200, &json!(name)), "{}", answer.json());
}

async fn two_streams() -> (Worker, Upstream) {
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(Passthrough).capacity(2)).await;
    worker.until_health("IDLE").await;
    started(&worker, &upstream, "a").await;
    started(&worker, &upstream, "b").await;
    (worker, upstream)
}

#[tokio::test]
async fn beyond_its_capacity_a_worker_answers_503_and_a_free_slot_is_taken_again() {
    let (worker, upstream) = two_streams().await;
    golden("two_full_start", &worker.post_named("/stream/start", "c", upstream.start().to_string()).await);
    assert_eq!(worker.post_named("/stream/stop", "a", "").await.code, 200);
    started(&worker, &upstream, "c").await;
}

#[tokio::test]
async fn of_several_streams_a_call_has_to_name_one() {
    let (worker, _upstream) = two_streams().await;
    golden("two_params", &worker.post("/stream/params", "{}").await);
    assert_eq!(worker.post("/stream/stop", "").await.code, 409);
    let all = worker.get("/stream/status").await;
    let names = |answer: &Answer| -> Vec<Value> {
        answer.json()["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| stream["stream_id"].clone())
            .collect()
    };
    assert_eq!((all.code, names(&all)), (200, vec![json!("a"), json!("b")]));
    assert!(all.json().get("stream_id").is_none(), "none in particular");
    assert_eq!(worker.get("/health").await.json()["active_streams"], 2);
    let params = |answer: &Answer| (answer.code, answer.json()["stream_id"].clone());

    assert_eq!(params(&worker.post_named("/stream/params", "b", r#"{"x": 1}"#).await), (200, json!("b")));
    assert_eq!(params(&worker.post("/stream/params?stream=a", r#"{"x": 2}"#).await), (200, json!("a")));
    let by_body = worker.post("/stream/params", r#"{"gateway_request_id": "b", "y": 3}"#).await;
    assert_eq!(params(&by_body), (200, json!("b")));
    // The header goes before the rest.
    let both =
        worker.post_named("/stream/params?stream=a", "b", r#"{"gateway_request_id": "a", "z": 4}"#).await;
    assert_eq!(params(&both), (200, json!("b")));

    let status = worker.get("/stream/status?stream=a").await.json();
    assert_eq!((&status["stream_id"], &status["params"]), (&json!("a"), &json!({"x": 2})));
    assert_eq!(status["streams"].as_array().map(Vec::len), Some(2));
    let status = worker.get("/stream/status?stream=b").await.json();
    assert_eq!(status["params"], json!({"x": 1, "y": 3, "z": 4}), "the name is no parameter");
    assert_eq!(worker.get("/stream/status?stream=nobody").await.code, 400);

    let stopped = worker.post("/stream/stop", r#"{"gateway_request_id": "a"}"#).await;
    assert_eq!(params(&stopped), (200, json!("a")));
    assert_eq!(worker.get("/stream/status").await.json()["stream_id"], "b", "one is left: it is meant");
}

/// Draws; panics, or hangs for a while, in the streams of these names.
#[derive(Clone, Default)]
struct Moody {
    strength: i64,
}

impl FrameProcessor for Moody {
    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        assert_ne!(stream.id, "dies", "as it is told to");
        Ok(())
    }

    async fn update_params(&mut self, params: &Params, _: &StreamContext) -> Result<()> {
        self.strength = params["strength"].as_i64().unwrap_or_default();
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn generate(&mut self, timestamp: Timestamp, stream: &StreamContext) -> Result<Generated> {
        match stream.id.as_str() {
            "panics" => panic!("as it is told to"),
            "slow" => tokio::time::sleep(support::DEADLINE).await,
            _ => {}
        }
        let pixels = vec![u8::try_from(self.strength)?; 64 * 64 * 3];
        let pixels = candle_core::Tensor::from_vec(pixels, (64, 64, 3), &candle_core::Device::Cpu)?;
        Ok(Generated { video: Some(VideoFrame::from_tensor(pixels, timestamp)?), audio: Vec::new() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_slowness_or_panic_of_a_stream_changes_nothing_for_the_others() {
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(Moody::default()).capacity(4)).await;
    worker.until_health("IDLE").await;
    for name in ["good", "slow", "panics", "dies"] {
        let mut body = upstream.start();
        body["subscribe_url"] = Value::Null;
        body["publish_url"] = json!(body["publish_url"].as_str().unwrap().replace("out", name));
        assert_eq!(worker.post_named("/stream/start", name, body.to_string()).await.code, 200);
    }
    let status = async |name: &str| worker.get(&format!("/stream/status?stream={name}")).await.json();
    until(async || status("panics").await["error_count"].as_u64() >= Some(3)).await;
    until(async || status("good").await["frames_out"].as_u64() >= Some(10)).await;
    until(async || {
        worker.get("/stream/status?stream=good").await.json()["streams"].as_array().unwrap().len() == 3
    })
    .await;
    assert_eq!(status("panics").await["state"], "DEGRADED_INFERENCE");
    let good = status("good").await;
    assert_eq!((&good["state"], &good["error_count"]), (&json!("ONLINE"), &json!(0)), "{good}");
    assert_eq!(good["last_stream"]["state"], "ERROR", "the one that died");
    assert_eq!(worker.post_named("/stream/params", "good", r#"{"strength": 7}"#).await.code, 200);
    assert_eq!(status("slow").await["params"], json!({}), "parameters are each stream's own");
    assert_eq!(worker.get("/health").await.json()["status"], "OK");
}
