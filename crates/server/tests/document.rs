//! The OpenAPI document: that it is the one that people were given, and that the server keeps to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use cutrickle_server::StreamServer;
use serde_json::{Value, json};
use support::{Passthrough, Worker, call, golden};

#[tokio::test]
async fn the_document_is_the_known_one() {
    let worker = Worker::idle().await;
    let answer = worker.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    golden("openapi", &answer);
}

#[tokio::test]
async fn every_path_of_the_document_is_served_by_its_method_and_no_other() {
    let worker = Worker::with(StreamServer::builder(Passthrough).auth_token("s3cret")).await;
    worker.until_health("IDLE").await;
    let document = worker.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 17, "{:?}", paths.keys());
    for (path, methods) in paths {
        for (documented, operation) in methods.as_object().unwrap() {
            let (method, other) = if documented == "get" { ("GET", "POST") } else { ("POST", "GET") };
            let answer = call(worker.address, method, path, &[], b"").await;
            let code = answer.code.to_string();
            assert!(operation["responses"].get(&code).is_some(), "{method} {path}: {code}");
            // What wants the token says so, and what says so wants it.
            assert_eq!(answer.code == 401, operation.get("security").is_some(), "{method} {path}");
            assert_eq!(call(worker.address, other, path, &[], b"").await.code, 405, "{other} {path}");
        }
    }
}

#[tokio::test]
async fn every_field_of_a_start_that_is_described_is_read() {
    let worker = Worker::idle().await;
    let document = worker.get("/openapi.json").await.json();
    let fields = document["components"]["schemas"]["Start"]["properties"].as_object().unwrap();
    assert_eq!(fields.len(), 7);
    for field in fields.keys() {
        let mut start = json!({ "subscribe_url": "http://127.0.0.1:1/in" });
        start[field] = Value::from(7);
        worker.post("/stream/start", start.to_string()).await.refuses(400, field);
    }
}
