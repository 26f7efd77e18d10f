//! The subscriber against a server of raw bytes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use cutrickle_trickle::{ClientConfig, SegmentReader, Start, Subscriber};
use support::{RawServer, next, soon};

fn config() -> ClientConfig {
    ClientConfig::default()
}

fn subscriber(server: &RawServer, start: Start, config: ClientConfig) -> Subscriber {
    Subscriber::new(&server.url(), start, config).unwrap()
}

async fn text(segment: &mut SegmentReader) -> String {
    let mut all = String::new();
    while let Some(chunk) = soon("a chunk", segment.chunk()).await {
        all.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    all
}

#[tokio::test]
async fn the_next_segment_is_asked_for_while_this_one_is_read() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Current, config());
    let serve = async {
        let mut first = server.expect("GET /ch/-2").await;
        first.begin(7).await;
        first.chunk("a").await;
        // No more bytes of segment 7 until segment 8 has been requested.
        let mut second = server.expect("GET /ch/8").await;
        first.chunk("b").await;
        first.end().await;
        second.begin(8).await;
        second.chunk("c").await;
        second.end().await;
        (first, second)
    };
    let read = async {
        let mut segment = next(&mut subscriber).await;
        assert_eq!((segment.seq(), segment.content_type()), (7, Some("video/MP2T")));
        assert_eq!(text(&mut segment).await, "ab");
        assert!(segment.is_complete());
        let mut segment = next(&mut subscriber).await;
        assert_eq!((segment.seq(), text(&mut segment).await.as_str()), (8, "c"));
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn any_number_of_1xx_answers_is_skipped() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Next, config());
    let serve = async {
        let mut raw = server.expect("GET /ch/-1").await;
        for status in ["100 Continue", "102 Processing", "103 Early Hints"].iter().cycle().take(30) {
            raw.send(format!("HTTP/1.1 {status}\r\n\r\n")).await;
        }
        raw.begin(3).await;
        raw.chunk("a").await;
        raw
    };
    let (_raw, segment) = tokio::join!(serve, next(&mut subscriber));
    assert_eq!(segment.seq(), 3);
}

#[tokio::test]
async fn a_470_leads_to_latest() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(3), config());
    let serve = async {
        let headers = "Lp-Trickle-Latest: 40\r\nLp-Trickle-Seq: 3\r\n";
        server.answer("GET /ch/3", 470, headers, "Entry not found").await;
        let mut raw = server.expect("GET /ch/40").await;
        raw.begin(40).await;
        raw.chunk("a").await;
        raw
    };
    let (_raw, segment) = tokio::join!(serve, next(&mut subscriber));
    assert_eq!((segment.seq(), subscriber.skipped()), (40, 37));
}

#[tokio::test]
async fn an_empty_segment_is_skipped() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(3), config());
    let serve = async {
        server.answer("GET /ch/3", 200, "Lp-Trickle-Seq: 3\r\nLp-Trickle-Latest: 5\r\n", "").await;
        // The end of an empty segment may also arrive after its head.
        let mut raw = server.expect("GET /ch/4").await;
        raw.begin(4).await;
        raw.end().await;
        raw.head().await;
        raw.begin(5).await;
        raw.chunk("a").await;
        raw
    };
    let (_raw, segment) = tokio::join!(serve, next(&mut subscriber));
    assert_eq!((segment.seq(), subscriber.skipped()), (5, 2));
}

#[tokio::test]
async fn closed_ends_the_stream_for_good() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Current, config());
    let closed = "Lp-Trickle-Closed: terminated\r\nLp-Trickle-Seq: 3\r\n";
    let serve = server.answer("GET /ch/-2", 200, closed, "");
    let (_, end) = tokio::join!(serve, soon("the end", subscriber.next()));
    assert!(end.unwrap().is_none());
    assert!(subscriber.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_404_of_a_channel_that_existed_is_the_end() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Current, config());
    let serve = async {
        let mut raw = server.expect("GET /ch/-2").await;
        raw.begin(0).await;
        raw.chunk("a").await;
        server.answer("GET /ch/1", 404, "", "gone").await;
        raw.end().await;
        raw
    };
    let read = async {
        assert_eq!(text(&mut next(&mut subscriber).await).await, "a");
        assert!(soon("the end", subscriber.next()).await.unwrap().is_none());
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn a_channel_that_does_not_exist_yet_is_waited_for() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Current, config());
    let serve = async {
        server.answer("GET /ch/-2", 404, "", "").await;
        server.answer("GET /ch/-2", 404, "", "").await;
        let mut raw = server.expect("GET /ch/-2").await;
        raw.begin(0).await;
        raw.chunk("a").await;
        raw
    };
    let (_raw, segment) = tokio::join!(serve, next(&mut subscriber));
    assert_eq!(segment.seq(), 0);
}

#[tokio::test]
async fn a_channel_that_never_appears_is_an_error_that_says_which() {
    let server = RawServer::start().await;
    let config = ClientConfig { missing_grace: Duration::ZERO, ..config() };
    let mut subscriber = subscriber(&server, Start::Current, config);
    let (_, end) = tokio::join!(server.answer("GET /ch/-2", 404, "", ""), soon("the end", subscriber.next()));
    let error = end.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), format!("{}: no such channel", server.url()));
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_status() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(4), config());
    let (_, end) = tokio::join!(server.answer("GET /ch/4", 403, "", ""), soon("the end", subscriber.next()));
    let error = end.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert_eq!(error.to_string(), format!("{} segment 4: the trickle server answered 403", server.url()));
}

#[tokio::test]
async fn a_server_that_is_never_there_is_a_timeout_with_its_cause() {
    let url = RawServer::start().await.url();
    let config = ClientConfig { retry_window: Duration::from_millis(50), ..config() };
    let mut subscriber = Subscriber::new(&url, Start::Current, config).unwrap();
    let error = soon("the error", subscriber.next()).await.unwrap_err();
    assert!(error.is_timeout());
    assert!(std::error::Error::source(&error).is_some());
    // Calling again is possible and begins a new window.
    assert!(soon("the error", subscriber.next()).await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_waiting_get_is_renewed_and_loses_nothing() {
    let server = RawServer::start().await;
    let config = ClientConfig { renew_after: Duration::from_millis(100), ..config() };
    let mut subscriber = subscriber(&server, Start::Seq(5), config);
    let serve = async {
        let silent = server.expect("GET /ch/5").await;
        // A head without a byte does not count as a segment either.
        let mut head_only = server.expect("GET /ch/5").await;
        head_only.begin(5).await;
        let mut raw = server.expect("GET /ch/5").await;
        raw.begin(5).await;
        raw.chunk("a").await;
        raw.chunk("b").await;
        raw.end().await;
        (silent, head_only, raw)
    };
    let read = async {
        let mut segment = next(&mut subscriber).await;
        assert_eq!((segment.seq(), text(&mut segment).await.as_str()), (5, "ab"));
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn a_segment_that_breaks_off_is_told_and_the_next_one_follows() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(0), config());
    let serve = async {
        let mut raw = server.expect("GET /ch/0").await;
        raw.begin(0).await;
        raw.chunk("a").await;
        let mut second = server.expect("GET /ch/1").await;
        drop(raw);
        second.begin(1).await;
        second.chunk("b").await;
        second.end().await;
        second
    };
    let read = async {
        let mut segment = next(&mut subscriber).await;
        assert_eq!(text(&mut segment).await, "a");
        assert!(!segment.is_complete());
        let mut segment = next(&mut subscriber).await;
        assert_eq!((segment.seq(), text(&mut segment).await.as_str()), (1, "b"));
        assert!(segment.is_complete());
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn a_segment_that_falls_silent_breaks_off() {
    let server = RawServer::start().await;
    let config = ClientConfig { read_timeout: Duration::from_millis(50), ..config() };
    let mut subscriber = subscriber(&server, Start::Seq(0), config);
    let serve = async {
        let mut raw = server.expect("GET /ch/0").await;
        raw.begin(0).await;
        raw.chunk("a").await;
        raw
    };
    let read = async {
        let mut segment = next(&mut subscriber).await;
        assert_eq!(text(&mut segment).await, "a");
        assert!(!segment.is_complete());
        assert!(segment.collect(10).await.unwrap_err().is_lost());
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn a_broken_connection_or_a_5xx_is_tried_again_from_the_same_number() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(9), config());
    let serve = async {
        drop(server.expect("GET /ch/9").await);
        server.answer("GET /ch/9", 502, "", &"<html>".repeat(2000)).await;
        let mut half = server.expect("GET /ch/9").await;
        half.send("HTTP/1.1 200 OK\r\nLp-Tri").await;
        drop(half);
        let mut raw = server.expect("GET /ch/9").await;
        raw.begin(9).await;
        raw.chunk("a").await;
        raw
    };
    let (_raw, segment) = tokio::join!(serve, next(&mut subscriber));
    assert_eq!(segment.seq(), 9);
}

#[tokio::test]
async fn dropping_the_subscriber_ends_its_waiting_request() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(0), config());
    let task = tokio::spawn(async move {
        let _ = subscriber.next().await;
    });
    let mut raw = server.expect("GET /ch/0").await;
    task.abort();
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn dropping_a_reader_closes_its_connection_alone() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(0), config());
    let serve = async {
        let mut raw = server.expect("GET /ch/0").await;
        raw.begin(0).await;
        raw.chunk("a").await;
        let mut ahead = server.expect("GET /ch/1").await;
        assert_eq!(raw.rest().await, "");
        ahead.begin(1).await;
        ahead.chunk("b").await;
        ahead
    };
    let read = async {
        drop(next(&mut subscriber).await);
        next(&mut subscriber).await
    };
    let (_raw, segment) = tokio::join!(serve, read);
    assert_eq!(segment.seq(), 1);
}

#[tokio::test]
async fn a_document_is_read_in_one_piece_up_to_a_limit() {
    let server = RawServer::start().await;
    let mut subscriber = subscriber(&server, Start::Seq(0), config());
    let serve = async {
        let mut raw = server.expect("GET /ch/0").await;
        raw.begin(0).await;
        raw.chunk("{\"a\"").await;
        raw.chunk(":1}").await;
        let mut ahead = server.expect("GET /ch/1").await;
        raw.end().await;
        ahead.begin(1).await;
        ahead.chunk(&"x".repeat(100)).await;
        (raw, ahead)
    };
    let read = async {
        assert_eq!(next(&mut subscriber).await.collect(7).await.unwrap(), r#"{"a":1}"#);
        let error = next(&mut subscriber).await.collect(99).await.unwrap_err();
        assert!(error.to_string().contains("segment 1: the segment is larger"), "{error}");
    };
    tokio::join!(serve, read);
}

#[tokio::test]
async fn a_bad_url_is_refused_before_anything_else() {
    let error = Subscriber::new("", Start::Current, config()).unwrap_err();
    assert_eq!(error.to_string(), "the trickle URL is missing");
}
