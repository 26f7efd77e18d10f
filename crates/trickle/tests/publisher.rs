//! The publisher against a server of raw bytes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Publisher, SegmentWriter};
use support::{Raw, RawServer, segment, soon, until, write};

fn config() -> ClientConfig {
    ClientConfig::default()
}

fn publisher(server: &RawServer, config: ClientConfig) -> Publisher {
    Publisher::new(&server.url(), "video/MP2T", config).unwrap()
}

/// Answers the request for the next number. Returns the first segment and the connection of its POST.
async fn begin(server: &RawServer, publisher: &mut Publisher, next: u64) -> (SegmentWriter, Raw) {
    let serve = async {
        server.answer("GET /ch/next", 200, "", &next.to_string()).await;
        server.expect(&format!("POST /ch/{next}")).await
    };
    let (raw, first) = tokio::join!(serve, segment(publisher));
    (first, raw)
}

#[tokio::test]
async fn a_new_channel_is_created_and_begins_at_0_with_a_reset() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let serve = async {
        server.answer("GET /ch/next", 404, "", "").await;
        let (asked, head, mut raw) = server.request().await;
        assert_eq!((asked.as_str(), head.header("expect-content")), ("POST /ch", Some("video/MP2T")));
        raw.reply(200, "", "").await;
        let (asked, head, raw) = server.request().await;
        assert_eq!(asked, "POST /ch/0");
        assert!(head.header("lp-trickle-reset").is_some());
        assert_eq!(head.header("content-type"), Some("video/MP2T"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert_eq!((head.header("expect"), head.header("content-length")), (None, None));
        raw
    };
    let (_raw, segment) = tokio::join!(serve, segment(&mut publisher));
    assert_eq!(segment.seq(), 0);
}

#[tokio::test]
async fn where_creating_is_forbidden_the_segment_is_posted_all_the_same() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let serve = async {
        server.answer("GET /ch/next", 404, "", "").await;
        server.answer("POST /ch", 404, "", "").await;
        server.expect("POST /ch/0").await
    };
    tokio::join!(serve, segment(&mut publisher));
}

#[tokio::test]
async fn bytes_go_out_as_they_are_written_and_the_next_post_is_open_by_then() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 7).await;
    assert_eq!(first.seq(), 7);
    write(&mut first, "a");
    assert_eq!(raw.body_chunk().await.unwrap(), "a");
    let (asked, head, mut ahead) = server.request().await;
    assert_eq!((asked.as_str(), head.header("lp-trickle-reset")), ("POST /ch/8", None));
    write(&mut first, "b");
    assert_eq!(raw.body_chunk().await.unwrap(), "b");
    first.finish();
    assert_eq!(raw.body_chunk().await, None);
    raw.reply(200, "Lp-Trickle-Seq: 7\r\n", "").await;
    let mut second = segment(&mut publisher).await;
    assert_eq!(second.seq(), 8);
    write(&mut second, "c");
    assert_eq!(ahead.body_chunk().await.unwrap(), "c");
    let counters = publisher.counters();
    until("the count", || (counters.segments(), counters.bytes()) == (1, 3)).await;
}

#[tokio::test]
async fn any_number_of_100_continue_is_skipped() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    for _ in 0..20 {
        raw.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    write(&mut first, "a");
    assert_eq!(raw.body_chunk().await.unwrap(), "a");
    raw.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    first.finish();
    assert_eq!(raw.body_chunk().await, None);
    raw.reply(200, "", "").await;
    let counters = publisher.counters();
    until("the count", || counters.segments() == 1).await;
}

#[tokio::test]
async fn writing_needs_no_runtime() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    std::thread::spawn(move || {
        write(&mut first, "from a thread");
        first.finish();
    })
    .join()
    .unwrap();
    assert_eq!(raw.body().await, "from a thread");
}

#[tokio::test]
async fn a_segment_whose_connection_broke_is_dropped_deleted_and_never_sent_again() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    raw.body_chunk().await.unwrap();
    let mut ahead = server.expect("POST /ch/1").await;
    drop(raw);
    server.answer("DELETE /ch/0", 200, "", "").await;
    let error = first.try_write(Bytes::from_static(b"xyz")).unwrap_err();
    assert!(error.is_lost());
    assert_eq!(error.to_string(), format!("{} segment 0: the segment is lost", server.url()));
    let mut second = segment(&mut publisher).await;
    assert_eq!(second.seq(), 1);
    write(&mut second, "b");
    assert_eq!(ahead.body_chunk().await.unwrap(), "b");
    let counters = publisher.counters();
    assert_eq!((counters.segments_dropped(), counters.bytes_dropped()), (1, 3));
}

#[tokio::test]
async fn an_idle_preconnect_that_broke_is_opened_again_under_the_same_number() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    raw.body_chunk().await.unwrap();
    drop(server.expect("POST /ch/1").await);
    let (asked, head, _ahead) = server.request().await;
    assert_eq!(asked, "POST /ch/1");
    // Segment 0 is still being written: a reset would close it.
    assert_eq!(head.header("lp-trickle-reset"), None);
    assert_eq!(publisher.counters().segments_dropped(), 0);
}

#[tokio::test]
async fn a_writer_that_is_dropped_gives_its_segment_up() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    raw.body_chunk().await.unwrap();
    let _ahead = server.expect("POST /ch/1").await;
    drop(first);
    server.answer("DELETE /ch/0", 200, "", "").await;
    assert_eq!(raw.rest().await, "");
    assert_eq!(publisher.counters().segments_dropped(), 1);
}

#[tokio::test]
async fn a_new_segment_finishes_the_former_one() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    raw.body_chunk().await.unwrap();
    let _second = segment(&mut publisher).await;
    assert_eq!(raw.body_chunk().await, None);
    assert!(first.try_write(Bytes::from_static(b"late")).unwrap_err().is_closed());
}

#[tokio::test]
async fn a_closed_channel_ends_publishing() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    raw.reply(200, "Lp-Trickle-Closed: terminated\r\n", "").await;
    until("the end of the segment", || first.try_write(Bytes::from_static(b"x")).is_err()).await;
    let error = soon("the end", publisher.segment()).await.unwrap_err();
    assert!(error.is_closed());
}

#[tokio::test]
async fn a_number_that_is_taken_is_passed_over() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    raw.reply(200, "Lp-Trickle-Seq: 0\r\n", "").await;
    server.answer("GET /ch/next", 200, "", "12").await;
    let mut raw = server.expect("POST /ch/12").await;
    write(&mut first, "a");
    assert_eq!(raw.body_chunk().await.unwrap(), "a");
    assert_eq!(first.seq(), 12);
    server.expect("POST /ch/13").await;
}

#[tokio::test]
async fn a_server_that_takes_nothing_fills_the_buffer_and_no_more() {
    let server = RawServer::start().await;
    let config = ClientConfig { segment_buffer: 1 << 20, patience: Duration::from_millis(50), ..config() };
    let mut publisher = publisher(&server, config);
    let (mut first, _raw) = begin(&server, &mut publisher, 0).await;
    let chunk = Bytes::from(vec![0; 256 << 10]);
    let mut refused = 0;
    // First the buffers of the sockets fill up, then the buffer of the segment.
    for _ in 0..1000 {
        match first.try_write(chunk.clone()) {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => {
                assert!(error.is_full());
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    let counters = publisher.counters();
    assert_eq!(counters.bytes_dropped(), refused * chunk.len() as u64);
    // At most three segments may be in flight, so the oldest one is dropped and closed.
    let _ahead = server.expect("POST /ch/1").await;
    first.finish();
    let mut stuck = Vec::new();
    for seq in 1..4u64 {
        let mut next = segment(&mut publisher).await;
        assert_eq!(next.seq(), seq);
        next.try_write(chunk.clone()).unwrap();
        next.finish();
        if seq < 3 {
            stuck.push(server.expect(&format!("POST /ch/{}", seq + 1)).await);
        }
    }
    server.answer("DELETE /ch/0", 200, "", "").await;
    assert_eq!(counters.segments_dropped(), 1);
}

#[tokio::test]
async fn a_wait_for_room_ends_when_there_is_some() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, ClientConfig { segment_buffer: 10, ..config() });
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    let write = async {
        for _ in 0..100 {
            soon("room", first.write(Bytes::from_static(b"0123456789"))).await.unwrap();
        }
        first.finish();
    };
    let (_, body) = tokio::join!(write, raw.body());
    assert_eq!(body.len(), 1000);
}

#[tokio::test]
async fn closing_finishes_the_segment_and_deletes_the_channel() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    let serve = async {
        let _ahead = server.expect("POST /ch/1").await;
        assert_eq!(raw.body().await, "a");
        raw.reply(200, "", "").await;
        server.answer("DELETE /ch", 200, "", "").await;
    };
    let (_, closed) = tokio::join!(serve, soon("the end", publisher.close()));
    closed.unwrap();
}

#[tokio::test]
async fn closing_a_channel_that_is_gone_is_no_error_and_an_absent_server_is_one() {
    let server = RawServer::start().await;
    let answer = server.answer("DELETE /ch", 400, "", "");
    let (_, closed) = tokio::join!(answer, soon("the end", publisher(&server, config()).close()));
    closed.unwrap();
    let gone = publisher(&server, config());
    drop(server);
    assert!(soon("the end", gone.close()).await.is_err());
}

#[tokio::test]
async fn dropping_the_publisher_cuts_everything() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let (mut first, mut raw) = begin(&server, &mut publisher, 0).await;
    write(&mut first, "a");
    let mut ahead = server.expect("POST /ch/1").await;
    drop(publisher);
    raw.rest().await;
    ahead.rest().await;
    assert!(first.try_write(Bytes::from_static(b"b")).unwrap_err().is_lost());
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_status() {
    let server = RawServer::start().await;
    let mut publisher = publisher(&server, config());
    let answer = server.answer("GET /ch/next", 401, "", "");
    let (_, refused) = tokio::join!(answer, soon("the answer", publisher.segment()));
    assert_eq!(refused.unwrap_err().status(), Some(401));
}
