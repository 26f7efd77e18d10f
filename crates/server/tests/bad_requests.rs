//! Requests that are wrong: each costs its caller one clear line, and the worker nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use serde_json::{Value, json};
use support::{Answer, Upstream, Worker, call, golden, raw, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const START: &str = "/api/stream/start";
const URL: &str = "http://127.0.0.1:1/in";

/// That `body` does not start a stream, and why.
async fn refused(worker: &Worker, body: impl AsRef<[u8]>, code: u16, named: &str) -> Answer {
    let answer = worker.post(START, body).await;
    answer.refuses(code, named);
    assert_eq!(worker.get("/health").await.json()["status"], "IDLE");
    answer
}

#[tokio::test]
async fn a_start_without_any_url_is_refused() {
    let worker = Worker::idle().await;
    for body in
        [json!({}), json!({ "subscribe_url": null, "publish_url": null }), json!({ "events_url": URL })]
    {
        golden("start_without_urls", &refused(&worker, body.to_string(), 400, "subscribe_url").await);
    }
}

#[tokio::test]
async fn a_malformed_url_is_refused_by_the_name_of_its_field() {
    let worker = Worker::idle().await;
    for field in ["subscribe_url", "publish_url", "control_url", "events_url", "data_url"] {
        for wrong in [
            json!(7),
            json!(true),
            json!([URL]),
            json!({ "url": URL }),
            json!(" "),
            json!("in"),
            json!("/in"),
            json!("127.0.0.1:1"),
            json!("ftp://127.0.0.1/in"),
            json!("http://"),
            json!("http:///in"),
            json!("http://127.0.0.1:port/in"),
            json!("http://a host/in"),
            json!("http://host/in\r\nX-Injected: yes"),
            json!(format!("http://host/{}", "x".repeat(100_000))),
        ] {
            let mut body = json!({ "subscribe_url": URL, "publish_url": URL });
            body[field] = wrong;
            refused(&worker, body.to_string(), 400, field).await;
        }
    }
    let body = json!({ "subscribe_url": "ftp://127.0.0.1/in" });
    golden("start_malformed_url", &refused(&worker, body.to_string(), 400, "subscribe_url").await);
}

#[tokio::test]
async fn params_of_the_wrong_type_are_refused_by_name() {
    let worker = Worker::idle().await;
    for wrong in [json!([1]), json!("text"), json!(1), json!(false)] {
        let body = json!({ "subscribe_url": URL, "params": wrong }).to_string();
        refused(&worker, body, 400, "params").await;
    }
    for (wrong, named) in [
        (json!({ "width": 64 }), "height"),
        (json!({ "width": "wide", "height": 64 }), "width"),
        (json!({ "width": -64, "height": 64 }), "width"),
        (json!({ "max_framerate": 61 }), "max_framerate"),
        (json!({ "show_loading": [] }), "show_loading"),
        (json!({ "detect_out_resolution": "x".repeat(1_000_000) }), "detect_out_resolution"),
    ] {
        let body = json!({ "subscribe_url": URL, "params": wrong }).to_string();
        refused(&worker, body, 400, named).await;
    }
    let body = json!({ "subscribe_url": URL, "params": { "max_framerate": 61 } }).to_string();
    golden("start_wrong_param", &refused(&worker, body, 400, "max_framerate").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn params_of_a_running_stream_must_be_an_object() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    worker.post(START, upstream.start().to_string()).await.succeeds();
    for wrong in ["", "  ", "[]", "7", "null", "\"text\"", "{", "{\"a\":}", "{} {}"] {
        worker.post("/api/stream/params", wrong).await.refuses(400, "the body is");
    }
    worker.post("/api/stream/params", "{\"width\": 64}").await.refuses(400, "height");
    golden("params_no_object", &worker.post("/api/stream/params", "[1]").await);
    worker.post("/api/stream/stop", [0xff, 0x00]).await.succeeds();
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let worker = Worker::idle().await;
    golden("start_empty", &refused(&worker, "", 400, "empty").await);
    golden("start_malformed", &refused(&worker, "{\"subscribe_url\": ", 400, "not JSON").await);
    for wrong in [&b"\xff\xfe{}"[..], b"{\"subscribe_url\": \"http://\xff/\"}", b"subscribe_url=x", b"\0"] {
        refused(&worker, wrong, 400, "not JSON").await;
    }
    refused(&worker, "[]", 400, "an array").await;
    refused(&worker, "null", 400, "null").await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        refused(&worker, format!("{{\"params\": {deep}}}"), 400, "not JSON").await;
    }
}

#[tokio::test]
async fn a_body_of_11_megabytes_is_413_and_its_sender_gets_to_read_it() {
    let worker = Worker::idle().await;
    let mut body = json!({ "subscribe_url": URL }).to_string();
    body.push_str(&" ".repeat(11_000_000));
    golden("start_too_large", &refused(&worker, &body, 413, "10 MiB").await);
    worker.post("/api/stream/params", &body).await.refuses(413, "10 MiB");
    worker.post("/api/stream/stop", &body).await.refuses(413, "10 MiB");

    // The same in chunks, whose sum nobody announces.
    let mut chunked = format!("POST {START} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n").into_bytes();
    chunked.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..11 {
        chunked.extend_from_slice(format!("{:x}\r\n", 1 << 20).as_bytes());
        chunked.resize(chunked.len() + (1 << 20), b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    raw(worker.address, &chunked).await.refuses(413, "10 MiB");
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_it_is_sent_where_the_sender_asks_first() {
    let worker = Worker::idle().await;
    let head = format!(
        "POST {START} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Length: 11000000\r\n\r\n"
    );
    raw(worker.address, head.as_bytes()).await.refuses(413, "10 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_content_type_will_do() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let start = upstream.start().to_string();
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "%%%"] {
        let headers = [("Content-Type", content_type)];
        call(worker.address, "POST", START, &headers, start.as_bytes()).await.succeeds();
        call(worker.address, "POST", "/api/stream/params", &headers, b"{\"a\": 1}").await.succeeds();
        call(worker.address, "POST", "/api/stream/stop", &headers, b"stop").await.succeeds();
    }
}

#[tokio::test]
async fn a_name_that_cannot_stand_in_a_log_is_refused() {
    let worker = Worker::idle().await;
    for wrong in [json!(7), json!("x".repeat(257)), json!("a\nb"), json!({})] {
        let body = json!({ "subscribe_url": URL, "gateway_request_id": wrong }).to_string();
        refused(&worker, body, 400, "gateway_request_id").await;
    }
    let body = json!({ "subscribe_url": URL }).to_string();
    worker.post_named(START, &"x".repeat(300), &body).await.refuses(400, "X-Stream-Id");
    worker.post_named(START, "caméra", &body).await.refuses(400, "X-Stream-Id");
}

#[tokio::test]
async fn what_is_no_http_costs_only_its_own_connection() {
    let worker = Worker::idle().await;
    for junk in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"hello\r\n\r\n"] {
        let bytes = within(async {
            let mut socket = TcpStream::connect(worker.address).await.unwrap();
            socket.write_all(junk).await.unwrap();
            let mut bytes = Vec::new();
            let _ = socket.read_to_end(&mut bytes).await;
            bytes
        })
        .await;
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400"));
    }
    let bomb = format!("GET /health HTTP/1.1\r\nHost: w\r\n{}\r\n", "X-Bomb: boom\r\n".repeat(10_000));
    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    // The other side may hang up in the middle of it.
    let _ = socket.write_all(bomb.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = within(socket.read_to_end(&mut bytes)).await;
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"));
    assert_eq!(worker.get("/health").await.json()["status"], Value::from("IDLE"));
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_the_middle_of_a_body_starts_nothing() {
    let worker = Worker::idle().await;
    let head =
        format!("POST {START} HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n\r\n{{\"subscribe_url\": ");
    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    let _ = within(socket.read_to_end(&mut bytes)).await;
    assert_eq!(worker.get("/health").await.json()["status"], Value::from("IDLE"));
}
