//! Imitates the clients of the Go node byte by byte. They renew waiting GETs, leave preconnected POSTs
//! idle, skip `100 Continue`, and close segments with a DELETE. Their intervals (20 s, 10 s, a minute) are
//! scaled down, and the time limits of the server with them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use cutrickle_trickle::ServerConfig;
use support::{Head, Raw, Running, until};

const TICK: Duration = Duration::from_millis(10);

/// One second of the Go node is 1 ms here.
fn scaled() -> ServerConfig {
    let limit = 3 * TICK;
    ServerConfig {
        continue_interval: TICK,
        head_timeout: limit,
        write_timeout: limit,
        ..ServerConfig::default()
    }
}

/// The head of a request as Go's `net/http` writes it.
fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: t\r\nUser-Agent: Go-http-client/1.1\r\n{more}\r\n")
}

async fn preconnect(server: &Running, path: &str, more: &str) -> Raw {
    let mut raw = Raw::connect(server.address).await;
    let more =
        format!("Transfer-Encoding: chunked\r\nContent-Type: video/MP2T\r\n{more}Accept-Encoding: gzip\r\n");
    raw.send(request("POST", path, &more)).await;
    raw
}

async fn get(server: &Running, path: &str) -> Raw {
    let mut raw = Raw::connect(server.address).await;
    raw.send(request("GET", path, "Accept-Encoding: gzip\r\n")).await;
    raw
}

async fn delete(server: &Running, path: &str) -> u16 {
    let mut raw = Raw::connect(server.address).await;
    raw.send(request("DELETE", path, "Accept-Encoding: gzip\r\n")).await;
    raw.answer().await.0.status()
}

/// The final head, after any number of interim ones.
async fn final_head(raw: &mut Raw) -> Head {
    loop {
        let head = raw.head().await;
        if head.status() != 100 {
            return head;
        }
    }
}

#[tokio::test]
async fn a_preconnected_post_that_is_idle_for_a_minute_gets_six_continues_and_then_writes() {
    let server = Running::start(scaled()).await;
    let mut writer = preconnect(&server, "/ch/0", "").await;
    let begun = std::time::Instant::now();
    for _ in 0..6 {
        assert_eq!(writer.head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    // This is longer than every time limit of the server, so none of them applies here.
    assert!(begun.elapsed() >= 5 * TICK);
    let mut reader = get(&server, "/ch/0").await;
    writer.chunk("late").await;
    assert_eq!(reader.head().await.status(), 200);
    assert_eq!(reader.body_chunk().await.unwrap(), "late");
    writer.end().await;
    let head = final_head(&mut writer).await;
    assert_eq!((head.status(), head.header("lp-trickle-seq")), (200, Some("0")));
    assert_eq!(head.header("connection"), None);
}

#[tokio::test]
async fn a_waiting_get_outlives_every_time_limit() {
    let server = Running::start(scaled()).await;
    // The `100 Continue`s of its idle POST measure the time.
    let mut writer = preconnect(&server, "/ch/0", "").await;
    let mut reader = get(&server, "/ch/0").await;
    for _ in 0..10 {
        writer.head().await;
    }
    assert!(reader.is_silent().await);
    writer.chunk("x").await;
    assert_eq!(reader.head().await.status(), 200);
}

#[tokio::test]
async fn a_get_that_is_renewed_again_and_again_loses_nothing_and_leaves_nothing() {
    let server = Running::start(ServerConfig::default()).await;
    let mut writer = preconnect(&server, "/ch/0", "").await;
    until("the channel", || server.service.channels() == 1).await;
    let mut reader = get(&server, "/ch/0").await;
    for _ in 0..20 {
        // The Go client opens the new request before it closes the old connection.
        let renewed = get(&server, "/ch/0").await;
        assert!(reader.seen.is_empty());
        reader = renewed;
    }
    writer.chunk("first ").await;
    let head = reader.head().await;
    assert_eq!((head.status(), head.header("lp-trickle-seq")), (200, Some("0")));
    assert_eq!(reader.body_chunk().await.unwrap(), "first ");
    // A client that lost its connection within a segment gets all of it again.
    let mut again = get(&server, "/ch/0").await;
    again.head().await;
    assert_eq!(again.body_chunk().await.unwrap(), "first ");
    writer.chunk("last").await;
    writer.end().await;
    for raw in [&mut reader, &mut again] {
        assert_eq!(raw.body().await, "last");
    }
    assert_eq!(server.service.held_bytes(), 10);
}

#[tokio::test]
async fn an_expectation_of_100_continue_is_met_once_and_the_body_taken() {
    let server = Running::start(ServerConfig::default()).await;
    let mut writer = preconnect(&server, "/ch/0", "Expect: 100-continue\r\n").await;
    assert_eq!(writer.head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(writer.is_silent().await);
    writer.chunk("x").await;
    writer.end().await;
    assert_eq!(writer.head().await.status(), 200);
}

#[tokio::test]
async fn a_publisher_that_is_behind_closes_its_segment_by_delete_and_goes_on_with_the_next() {
    let server = Running::start(ServerConfig::default()).await;
    let mut current = preconnect(&server, "/ch/0", "Lp-Trickle-Reset: 1\r\n").await;
    let mut ahead = preconnect(&server, "/ch/1", "").await;
    current.chunk("half").await;
    let mut reader = get(&server, "/ch/0").await;
    reader.head().await;
    assert_eq!(reader.body_chunk().await.unwrap(), "half");
    let mut next = get(&server, "/ch/1").await;
    assert_eq!(delete(&server, "/ch/0").await, 200);
    assert_eq!(reader.body_chunk().await, None);
    // The rest of the segment is dropped. The preconnected POST is not affected.
    let head = current.head().await;
    assert_eq!((head.status(), head.header("connection")), (200, Some("close")));
    assert_eq!(head.header("lp-trickle-closed"), None);
    ahead.chunk("whole").await;
    ahead.end().await;
    assert_eq!(ahead.head().await.header("lp-trickle-seq"), Some("1"));
    assert_eq!(next.head().await.header("lp-trickle-seq"), Some("1"));
    assert_eq!(next.body_chunk().await.unwrap(), "whole");
    // Another DELETE of the segment is harmless.
    assert_eq!(delete(&server, "/ch/0").await, 200);
    assert_eq!(delete(&server, "/ch/7").await, 400);
}
