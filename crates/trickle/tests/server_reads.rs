//! The exact responses to GET requests, as any client sees them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use cutrickle_trickle::ServerConfig;
use support::{Raw, Running, ask, server};

/// Writes complete segments that contain their number as text.
async fn fill(server: &Running, channel: &str, segments: std::ops::Range<u64>) {
    for seq in segments {
        let mut raw = Raw::connect(server.address).await;
        raw.post(&format!("/{channel}/{seq}"), "Content-Type: video/MP2T\r\n").await;
        raw.chunk(&format!("segment {seq}")).await;
        raw.end().await;
        assert_eq!(raw.answer().await.0.status(), 200);
    }
}

#[tokio::test]
async fn a_reader_gets_bytes_before_the_segment_ends_and_the_head_with_the_first() {
    let server = server().await;
    let mut writer = Raw::connect(server.address).await;
    writer.post("/ch/0", "Content-Type: video/MP2T\r\n").await;
    support::until("the channel", || server.service.channels() == 1).await;
    let mut reader = Raw::connect(server.address).await;
    reader.ask("GET", "/ch/0").await;
    assert!(reader.is_silent().await);
    writer.chunk("hello").await;
    // `Latest` is only 1 if the head was built after the first byte had arrived.
    assert_eq!(
        reader.head().await.text(),
        "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 0\r\nLp-Trickle-Latest: 1\r\nContent-Type: video/MP2T\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(reader.body_chunk().await.unwrap(), "hello");
    writer.chunk("more").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "more");
    let mut late = server.reader("/ch/-2").await;
    assert_eq!(late.body_chunk().await.unwrap(), "hello");
    assert_eq!(late.body_chunk().await.unwrap(), "more");
    writer.end().await;
    assert_eq!(reader.body_chunk().await, None);
    assert_eq!(late.body_chunk().await, None);
    assert_eq!(
        writer.head().await.text(),
        "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 0\r\nContent-Length: 0\r\n\r\n"
    );
}

#[tokio::test]
async fn segments_in_the_window_are_served_at_once_and_older_ones_are_470() {
    let server = server().await;
    fill(&server, "ch", 0..7).await;
    let mut raw = Raw::connect(server.address).await;
    for seq in 2..7 {
        raw.ask("GET", &format!("/ch/{seq}")).await;
        let (head, body) = raw.answer().await;
        assert_eq!(
            (head.header("lp-trickle-seq"), body),
            (Some(&*seq.to_string()), format!("segment {seq}"))
        );
        assert_eq!(head.header("lp-trickle-latest"), Some("7"));
    }
    for seq in [0, 1, 8, 100] {
        raw.ask("GET", &format!("/ch/{seq}")).await;
        let (head, body) = raw.answer().await;
        assert_eq!((head.status(), body.as_str()), (470, "Entry not found"));
        assert_eq!(head.header("lp-trickle-latest"), Some("7"));
        assert_eq!(head.header("lp-trickle-seq"), Some(&*seq.to_string()));
    }
}

#[tokio::test]
async fn next_tells_the_number_as_text_and_in_the_header() {
    let server = server().await;
    fill(&server, "ch", 0..3).await;
    let (head, body) = ask(&server, "GET", "/ch/next").await;
    assert_eq!((head.status(), body.as_str(), head.header("lp-trickle-latest")), (200, "3", Some("3")));
}

#[tokio::test]
async fn minus_one_waits_for_the_next_segment_and_minus_two_is_the_last_one_begun() {
    let server = server().await;
    fill(&server, "ch", 0..3).await;
    let (head, body) = ask(&server, "GET", "/ch/-2").await;
    assert_eq!((head.header("lp-trickle-seq"), body.as_str()), (Some("2"), "segment 2"));
    let mut next = Raw::connect(server.address).await;
    next.ask("GET", "/ch/-1").await;
    assert!(next.is_silent().await);
    fill(&server, "ch", 3..4).await;
    assert_eq!(next.head().await.header("lp-trickle-seq"), Some("3"));
}

#[tokio::test]
async fn what_does_not_exist_is_404_and_what_is_malformed_400() {
    let server = server().await;
    for path in ["/no/0", "/no/-1", "/no/-2", "/no/next", "/", "/a/b/c", "/ch/"] {
        assert_eq!(ask(&server, "GET", path).await.0.status(), 404, "{path}");
    }
    fill(&server, "ch", 0..1).await;
    for path in ["/ch/x", "/ch/1x", "/ch/-3", "/ch/99999999999999999999", "/ch/1.5"] {
        assert_eq!(ask(&server, "GET", path).await.0.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_those_that_are_allowed() {
    let server = server().await;
    for (method, path, allowed) in [
        ("PUT", "/ch/0", "GET, HEAD, POST, DELETE"),
        ("PATCH", "/ch/next", "GET, HEAD, POST, DELETE"),
        ("GET", "/ch", "POST, DELETE"),
    ] {
        let (head, _) = ask(&server, method, path).await;
        assert_eq!((head.status(), head.header("allow")), (405, Some(allowed)));
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let server = server().await;
    fill(&server, "ch", 0..1).await;
    let mut raw = Raw::connect(server.address).await;
    raw.ask("HEAD", "/ch/0").await;
    let head = raw.head().await;
    assert_eq!((head.status(), head.header("content-length")), (200, Some("9")));
    assert_eq!((head.header("lp-trickle-seq"), head.header("lp-trickle-latest")), (Some("0"), Some("1")));
    raw.ask("GET", "/ch/next").await;
    assert_eq!(raw.answer().await.1, "1");
}

#[tokio::test]
async fn a_base_path_is_taken_off() {
    let server =
        Running::start(ServerConfig { base: "/ai/trickle/".into(), ..ServerConfig::default() }).await;
    fill(&server, "ai/trickle/ch", 0..1).await;
    assert_eq!(ask(&server, "GET", "/ai/trickle/ch/0").await.1, "segment 0");
    assert_eq!(ask(&server, "GET", "/ch/0").await.0.status(), 404);
    assert_eq!(ask(&server, "GET", "/ai/tricklech/0").await.0.status(), 404);
}

#[tokio::test]
async fn a_reader_that_leaves_disturbs_nobody() {
    let server = server().await;
    let mut writer = Raw::connect(server.address).await;
    writer.post("/ch/0", "").await;
    support::until("the channel", || server.service.channels() == 1).await;
    let mut stays = Raw::connect(server.address).await;
    stays.ask("GET", "/ch/0").await;
    for _ in 0..20 {
        let mut leaves = Raw::connect(server.address).await;
        leaves.ask("GET", "/ch/0").await;
    }
    writer.chunk("hello").await;
    stays.head().await;
    assert_eq!(stays.body_chunk().await.unwrap(), "hello");
}

#[tokio::test]
async fn the_changefeed_is_a_channel() {
    let server = Running::start(ServerConfig { changefeed: true, ..ServerConfig::default() }).await;
    let mut feed = Raw::connect(server.address).await;
    feed.ask("GET", "/_changes/-1").await;
    fill(&server, "ch", 0..1).await;
    let head = feed.head().await;
    assert_eq!(head.header("content-type"), Some("application/json"));
    let (head, body) = ask(&server, "GET", "/_changes/0").await;
    assert_eq!((head.status(), body.as_str()), (200, r#"{"added":["ch"]}"#));
    assert_eq!(ask(&server, "DELETE", "/ch").await.0.status(), 200);
    assert_eq!(ask(&server, "GET", "/_changes/1").await.1, r#"{"removed":["ch"]}"#);
    assert_eq!(ask(&server, "DELETE", "/_changes").await.0.status(), 400);
    assert_eq!(ask(&server, "POST", "/_changes/2").await.0.status(), 400);
}
