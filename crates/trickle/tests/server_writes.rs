//! The exact responses to POST and DELETE requests, as any client sees them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use cutrickle_trickle::ServerConfig;
use support::{Raw, Running, ask, server, until};

/// Begins a segment and waits until the server has its first bytes.
async fn begin(server: &Running, path: &str, more: &str, text: &str) -> Raw {
    let held = server.service.held_bytes();
    let mut raw = Raw::connect(server.address).await;
    raw.post(path, more).await;
    raw.chunk(text).await;
    until("the first byte", || server.service.held_bytes() == held + text.len() as u64).await;
    raw
}

#[tokio::test]
async fn an_idle_post_gets_100_continue_again_and_again_and_then_works() {
    let config = ServerConfig { continue_interval: Duration::from_millis(20), ..ServerConfig::default() };
    let server = Running::start(config).await;
    let mut writer = Raw::connect(server.address).await;
    writer.post("/ch/0", "").await;
    for _ in 0..3 {
        assert_eq!(writer.head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    writer.chunk("hello").await;
    writer.end().await;
    let last = loop {
        let head = writer.head().await;
        if head.status() != 100 {
            break head;
        }
    };
    assert_eq!((last.status(), last.header("lp-trickle-seq")), (200, Some("0")));
    // The connection can still be used.
    writer.ask("GET", "/ch/0").await;
    assert_eq!(writer.answer().await.1, "hello");
}

#[tokio::test]
async fn minus_one_writes_the_next_segment() {
    let server = server().await;
    for seq in ["0", "1"] {
        let mut writer = begin(&server, "/ch/-1", "", "x").await;
        writer.end().await;
        assert_eq!(writer.answer().await.0.header("lp-trickle-seq"), Some(seq));
    }
    assert_eq!(ask(&server, "POST", "/ch/-2").await.0.status(), 400);
}

#[tokio::test]
async fn without_auto_create_a_post_is_404_and_closes_the_connection() {
    let server = Running::start(ServerConfig { auto_create: false, ..ServerConfig::default() }).await;
    for path in ["/ch", "/ch/0"] {
        let (head, _) = ask(&server, "POST", path).await;
        assert_eq!((head.status(), head.header("connection")), (404, Some("close")));
    }
}

#[tokio::test]
async fn creating_names_the_type_of_the_content() {
    let server = server().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /ch HTTP/1.1\r\nHost: t\r\nExpect-Content: video/MP2T\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(raw.answer().await.0.status(), 200);
    assert_eq!(ask(&server, "GET", "/ch/next").await.1, "0");
    begin(&server, "/ch/0", "Content-Type: text/plain\r\n", "x").await;
    raw.ask("GET", "/ch/0").await;
    assert_eq!(raw.head().await.header("content-type"), Some("video/MP2T"));
}

#[tokio::test]
async fn an_empty_post_skips_its_segment() {
    let server = server().await;
    begin(&server, "/ch/0", "", "x").await;
    let mut waiting = Raw::connect(server.address).await;
    waiting.ask("GET", "/ch/1").await;
    let mut writer = Raw::connect(server.address).await;
    writer.post("/ch/1", "").await;
    writer.end().await;
    let (head, _) = writer.answer().await;
    assert_eq!((head.status(), head.header("connection")), (200, Some("close")));
    assert_eq!(writer.rest().await, "");
    assert_eq!(
        waiting.head().await.text(),
        "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 1\r\nLp-Trickle-Latest: 2\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n"
    );
}

#[tokio::test]
async fn a_post_that_breaks_off_leaves_its_segment_open_and_a_second_one_continues_it() {
    let server = server().await;
    drop(begin(&server, "/ch/0", "", "first ").await);
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "first ");
    let mut writer = begin(&server, "/ch/0", "", "second").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "second");
    writer.end().await;
    assert_eq!(reader.body_chunk().await, None);
    assert_eq!(ask(&server, "GET", "/ch/next").await.1, "1");
}

#[tokio::test]
async fn two_posts_of_one_segment_interleave() {
    let server = server().await;
    let mut one = begin(&server, "/ch/0", "", "a").await;
    let mut other = begin(&server, "/ch/0", "", "b").await;
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "a");
    assert_eq!(reader.body_chunk().await.unwrap(), "b");
    one.chunk("c").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "c");
    other.end().await;
    assert_eq!(reader.body_chunk().await, None);
    assert_eq!(one.answer().await.0.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_reset_lets_readers_of_a_dead_publisher_go() {
    let server = server().await;
    drop(begin(&server, "/ch/0", "", "x").await);
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "x");
    let mut writer = Raw::connect(server.address).await;
    writer.post("/ch/1", "Lp-Trickle-Reset: 1\r\n").await;
    assert_eq!(reader.body_chunk().await, None);
    reader.ask("GET", "/ch/1").await;
    writer.chunk("y").await;
    assert_eq!(reader.head().await.header("lp-trickle-seq"), Some("1"));
}

#[tokio::test]
async fn deleting_a_segment_ends_its_readers_and_its_writer() {
    let server = server().await;
    let mut writer = begin(&server, "/ch/0", "", "x").await;
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "x");
    assert_eq!(ask(&server, "DELETE", "/ch/0").await.0.status(), 200);
    assert_eq!(reader.body_chunk().await, None);
    let (head, _) = writer.answer().await;
    assert_eq!((head.status(), head.header("connection")), (200, Some("close")));
    assert_eq!(head.header("lp-trickle-closed"), None);
    let (again, _) = {
        let mut again = server.writer("/ch/0", "dropped").await;
        again.answer().await
    };
    assert_eq!((again.status(), again.header("connection")), (200, Some("close")));
    for path in ["/ch/7", "/no/0", "/no", "/ch/x"] {
        assert_eq!(ask(&server, "DELETE", path).await.0.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn deleting_a_channel_tells_those_who_wait_and_is_404_from_then_on() {
    let server = server().await;
    let mut writer = begin(&server, "/ch/0", "", "x").await;
    let mut preconnected = Raw::connect(server.address).await;
    preconnected.post("/ch/1", "").await;
    let mut waiting = Raw::connect(server.address).await;
    waiting.ask("GET", "/ch/1").await;
    assert!(waiting.is_silent().await);
    assert_eq!(ask(&server, "DELETE", "/ch").await.0.status(), 200);
    assert_eq!(
        waiting.head().await.text(),
        "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 1\r\nContent-Type: application/octet-stream\r\n\
         Lp-Trickle-Closed: terminated\r\nContent-Length: 0\r\n\r\n"
    );
    for raw in [&mut writer, &mut preconnected] {
        let (head, _) = raw.answer().await;
        assert_eq!((head.status(), head.header("lp-trickle-closed")), (200, Some("terminated")));
    }
    for path in ["/ch/0", "/ch/1", "/ch/-1", "/ch/next"] {
        assert_eq!(ask(&server, "GET", path).await.0.status(), 404, "{path}");
    }
    assert_eq!(ask(&server, "DELETE", "/ch").await.0.status(), 400);
}

#[tokio::test]
async fn an_idle_channel_is_closed() {
    let config = ServerConfig { idle_timeout: Duration::from_millis(50), ..ServerConfig::default() };
    let server = Running::start(config).await;
    assert_eq!(ask(&server, "POST", "/_kept").await.0.status(), 200);
    let mut waiting = begin(&server, "/ch/0", "", "x").await;
    assert_eq!(waiting.answer().await.0.header("lp-trickle-closed"), Some("terminated"));
    assert_eq!(ask(&server, "GET", "/_kept/next").await.1, "0");
}

#[tokio::test]
async fn a_segment_beyond_the_limit_is_413_and_closed() {
    let server = Running::start(ServerConfig { max_segment_bytes: 10, ..ServerConfig::default() }).await;
    let mut writer = begin(&server, "/ch/0", "", "12345678").await;
    let mut reader = server.reader("/ch/0").await;
    writer.chunk("90123").await;
    let (head, _) = writer.answer().await;
    assert_eq!((head.status(), head.header("connection")), (413, Some("close")));
    assert_eq!(reader.body().await, "12345678");
}

#[tokio::test]
async fn too_many_channels_are_refused() {
    let server = Running::start(ServerConfig { max_channels: 1, ..ServerConfig::default() }).await;
    assert_eq!(ask(&server, "POST", "/a").await.0.status(), 200);
    assert_eq!(ask(&server, "POST", "/b").await.0.status(), 503);
    assert_eq!(ask(&server, "POST", "/a").await.0.status(), 200);
}
