//! Defects of the Go server that this one must not have.
//!
//! | defect of the Go server | test |
//! | --- | --- |
//! | `/ch/-3` panics | `a_number_below_minus_two_is_400_and_the_server_goes_on` |
//! | `DELETE /ch/-1` locks the channel for good | `deleting_minus_one_is_400_and_the_channel_goes_on` |
//! | a rewrite of a closed segment moves `next` backwards | `rewriting_a_closed_segment_changes_nothing` |
//!
//! `server_go_clients` tests what the clients of the Go server rely on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use cutrickle_trickle::ServerConfig;
use support::{Head, Raw, Running, ask};

async fn put(server: &Running, path: &str, text: &str) -> Head {
    let mut raw = Raw::connect(server.address).await;
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
        .await;
    raw.answer().await.0
}

#[tokio::test]
async fn a_number_below_minus_two_is_400_and_the_server_goes_on() {
    let server = Running::start(ServerConfig::default()).await;
    put(&server, "/ch/0", "x").await;
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let mut raw = Raw::connect(server.address).await;
        raw.ask(method, "/ch/-3").await;
        assert_eq!(raw.head().await.status(), 400, "{method}");
    }
    assert_eq!(ask(&server, "GET", "/ch/0").await.1, "x");
}

#[tokio::test]
async fn deleting_minus_one_is_400_and_the_channel_goes_on() {
    let server = Running::start(ServerConfig::default()).await;
    put(&server, "/ch/0", "x").await;
    for path in ["/ch/-1", "/ch/-2"] {
        assert_eq!(ask(&server, "DELETE", path).await.0.status(), 400);
    }
    assert_eq!(put(&server, "/ch/1", "y").await.status(), 200);
    assert_eq!(ask(&server, "GET", "/ch/1").await.1, "y");
}

#[tokio::test]
async fn rewriting_a_closed_segment_changes_nothing() {
    let server = Running::start(ServerConfig::default()).await;
    for seq in 0..3 {
        put(&server, &format!("/ch/{seq}"), "old").await;
    }
    let head = put(&server, "/ch/1", "new").await;
    assert_eq!((head.status(), head.header("connection")), (200, Some("close")));
    assert_eq!(ask(&server, "GET", "/ch/next").await.1, "3");
    assert_eq!(ask(&server, "GET", "/ch/1").await.1, "old");
}
