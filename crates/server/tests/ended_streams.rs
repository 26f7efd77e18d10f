//! What is known of streams after their end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use serde_json::json;
use support::{Upstream, Worker, golden};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_32_streams_are_known_by_name_with_why_they_ended() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let start = upstream.start().to_string();
    for n in 0..34 {
        let name = format!("take-{n}");
        worker.post_named("/stream/start", &name, &start).await.succeeds();
        worker.post_named("/stream/stop", &name, "").await.succeeds();
    }
    let last = worker.get("/stream/status").await.json();
    assert_eq!((&last["status"], &last["stream_id"]), (&json!("IDLE"), &json!("take-33")));
    assert_eq!((&last["state"], &last["end_reason"]), (&json!("OFFLINE"), &json!("stopped")));
    assert_eq!(last["last_stream"]["stream_id"], "take-33");
    let named = worker.get("/stream/status?stream=take-2").await;
    assert_eq!(
        (named.json()["stream_id"].clone(), named.json()["end_reason"].clone()),
        (json!("take-2"), json!("stopped"))
    );
    golden("ended_named_status", &named);
    for forgotten in ["take-0", "take-1"] {
        worker.get(&format!("/stream/status?stream={forgotten}")).await.refuses(400, forgotten);
        worker.post_named("/stream/stop", forgotten, "").await.refuses(400, forgotten);
    }
    let again = worker.post_named("/stream/stop", "take-2", "").await.succeeds();
    assert_eq!(again["message"], "Stream already stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_urls_are_none_and_numbers_may_have_fractions() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let mut start = upstream.start();
    for channel in ["control_url", "events_url", "data_url"] {
        start[channel] = json!("");
    }
    start["params"] = json!({"width": 513.0, "height": "512.0", "max_framerate": 29.97});
    let started = worker.post_named("/stream/start", "camera", start.to_string()).await.succeeds();
    assert_eq!(started["current_state"]["status"], "OK", "{started}");
    let none = json!({"subscribe_url": "", "publish_url": "", "data_url": ""});
    worker.post_named("/stream/stop", "camera", "").await.succeeds();
    worker.post("/stream/start", none.to_string()).await.refuses(400, "are all missing");
}
