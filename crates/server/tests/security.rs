//! Who may call a worker, and whom it calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use cutrickle_server::StreamServer;
use serde_json::{Value, json};
use support::{Passthrough, Upstream, Worker, call, golden};

#[tokio::test]
async fn without_its_token_a_worker_tells_and_does_nothing_about_streams() {
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(Passthrough).auth_token("s3cret")).await;
    worker.until_health("IDLE").await;
    let start = upstream.start().to_string();
    for (method, path) in [
        ("POST", "/api/stream/start"),
        ("POST", "/stream/start"),
        ("POST", "/live-video-to-video"),
        ("POST", "/stream/params"),
        ("POST", "/stream/stop"),
        ("GET", "/stream/status"),
        ("GET", "/api/stream/schema"),
    ] {
        for shown in [None, Some("Bearer s3cre"), Some("s3cret"), Some("Basic s3cret")] {
            let headers: Vec<_> = shown.map(|shown| ("Authorization", shown)).into_iter().collect();
            let answer = call(worker.address, method, path, &headers, start.as_bytes()).await;
            assert_eq!(
                (answer.code, answer.header("WWW-Authenticate")),
                (401, Some("Bearer")),
                "{path} {shown:?}"
            );
        }
    }
    golden("unauthorized", &worker.get("/stream/status").await);
    for path in ["/health", "/version", "/metrics"] {
        assert_eq!(worker.get(path).await.code, 200, "{path} is for everybody");
    }
    let token = [("Authorization", "Bearer s3cret")];
    let started = call(worker.address, "POST", "/stream/start", &token, start.as_bytes()).await;
    assert_eq!(started.code, 200);
    let status = call(worker.address, "GET", "/stream/status", &token, b"").await;
    assert!(status.code == 200 && !String::from_utf8_lossy(&status.body).contains("s3cret"));
}

#[tokio::test]
async fn a_worker_connects_only_to_the_hosts_that_it_is_allowed() {
    let upstream = Upstream::new().await;
    let builder = StreamServer::builder(Passthrough).allow_host("127.0.0.1").allow_host("*.live.example");
    let worker = Worker::with(builder).await;
    worker.until_health("IDLE").await;
    for field in ["subscribe_url", "publish_url", "control_url", "events_url", "data_url"] {
        let mut body = upstream.start();
        body[field] = json!("http://127.0.0.1.evil.example/in");
        let answer = worker.post("/stream/start", body.to_string()).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.code, 400, "{field}");
        assert!(error.contains(field) && error.contains("evil.example"), "{error}");
    }
    let mut body = upstream.start();
    body["events_url"] = Value::Null;
    assert_eq!(worker.post("/stream/start", body.to_string()).await.code, 200);
}

#[test]
fn a_malformed_pattern_of_a_host_is_said_at_once() {
    let error = StreamServer::builder(Passthrough).allow_host("*").build().unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("\"*\""), "{error}");
}
