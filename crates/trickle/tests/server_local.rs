//! Publishers and subscribers within the process of the server, together with HTTP clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use cutrickle_trickle::{Hooks, LocalSegmentReader, LocalSubscriber, Refusal, ServerConfig, Service, Start};
use support::{Raw, Running, soon};

async fn next(subscriber: &mut LocalSubscriber) -> LocalSegmentReader {
    soon("a segment", subscriber.next()).await.expect("the channel has ended")
}

async fn chunk(segment: &mut LocalSegmentReader) -> Option<Bytes> {
    soon("a chunk", segment.chunk()).await
}

#[tokio::test]
async fn bytes_are_the_same_memory_for_every_reader() {
    let service = Service::new(&ServerConfig::default());
    let mut publisher = service.publisher("ch", "video/MP2T").unwrap();
    let mut readers = [(); 3].map(|()| service.subscriber("ch", Start::Current).unwrap());
    let bytes = Bytes::from(vec![7; 100_000]);
    let mut segment = publisher.segment().unwrap();
    segment.write(bytes.clone()).unwrap();
    for reader in &mut readers {
        let mut segment = next(reader).await;
        assert_eq!((segment.seq(), &*segment.content_type()), (0, "video/MP2T"));
        assert_eq!(chunk(&mut segment).await.unwrap().as_ptr(), bytes.as_ptr());
    }
    assert_eq!(service.held_bytes(), 100_000);
}

#[tokio::test]
async fn what_is_published_within_is_read_over_http_and_the_other_way_round() {
    let server = Running::start(ServerConfig::default()).await;
    let mut publisher = server.service.publisher("ch", "video/MP2T").unwrap();
    let mut within = server.service.subscriber("ch", Start::Current).unwrap();
    let mut over_http = Raw::connect(server.address).await;
    over_http.ask("GET", "/ch/0").await;
    let mut segment = publisher.segment().unwrap();
    segment.write("first ".into()).unwrap();
    let head = over_http.head().await;
    assert_eq!((head.header("lp-trickle-seq"), head.header("content-type")), (Some("0"), Some("video/MP2T")));
    assert_eq!(over_http.body_chunk().await.unwrap(), "first ");
    segment.write("second".into()).unwrap();
    assert_eq!(over_http.body_chunk().await.unwrap(), "second");
    segment.finish();
    assert_eq!(over_http.body_chunk().await, None);
    assert_eq!(soon("the rest", next(&mut within).await.collect(12)).await.unwrap(), "first second");
    let mut writer = server.writer("/ch/1", "from outside").await;
    let mut segment = next(&mut within).await;
    assert_eq!((segment.seq(), chunk(&mut segment).await.unwrap()), (1, "from outside".into()));
    writer.end().await;
    assert_eq!(chunk(&mut segment).await, None);
    // The publisher continues at the next number of the channel.
    assert_eq!(publisher.segment().unwrap().seq(), 2);
}

#[tokio::test]
async fn a_slow_subscriber_holds_nobody_up_and_goes_on_at_the_newest() {
    let config = ServerConfig { window: 3, ..ServerConfig::default() };
    let service = Service::new(&config);
    let mut publisher = service.publisher("ch", "a/b").unwrap();
    let mut slow = service.subscriber("ch", Start::Seq(0)).unwrap();
    publisher.segment().unwrap().write("0".into()).unwrap();
    let mut held = next(&mut slow).await;
    for seq in 1..10 {
        let mut segment = publisher.segment().unwrap();
        assert_eq!(segment.seq(), seq);
        segment.write(seq.to_string().into()).unwrap();
    }
    // The window and the segment that the slow subscriber holds.
    assert_eq!(service.held_bytes(), 4);
    assert_eq!(chunk(&mut held).await.unwrap(), "0");
    assert_eq!(chunk(&mut held).await, None);
    drop(held);
    assert_eq!(service.held_bytes(), 3);
    let mut segment = publisher.segment().unwrap();
    segment.write("10".into()).unwrap();
    let newest = async { next(&mut slow).await.seq() };
    let (newest, ()) = tokio::join!(newest, async {
        publisher.segment().unwrap().write("11".into()).unwrap();
    });
    assert_eq!((newest, slow.skipped()), (11, 10));
}

#[tokio::test]
async fn a_segment_beyond_the_limit_is_closed() {
    let service = Service::new(&ServerConfig { max_segment_bytes: 10, ..ServerConfig::default() });
    let mut publisher = service.publisher("ch", "a/b").unwrap();
    let mut subscriber = service.subscriber("ch", Start::Current).unwrap();
    let mut segment = publisher.segment().unwrap();
    segment.write("12345678".into()).unwrap();
    let error = segment.write("90123".into()).unwrap_err();
    assert!(error.to_string().contains("ch segment 0") && !error.is_lost(), "{error}");
    assert!(segment.write("9".into()).unwrap_err().is_lost());
    let mut read = next(&mut subscriber).await;
    assert_eq!(chunk(&mut read).await.unwrap(), "12345678");
    assert_eq!(chunk(&mut read).await, None);
    assert_eq!(publisher.segment().unwrap().seq(), 1);
}

#[tokio::test]
async fn a_writer_that_is_dropped_or_overtaken_leaves_no_reader_waiting() {
    let service = Service::new(&ServerConfig::default());
    let mut publisher = service.publisher("ch", "a/b").unwrap();
    let mut subscriber = service.subscriber("ch", Start::Current).unwrap();
    let mut overtaken = publisher.segment().unwrap();
    overtaken.write("a".into()).unwrap();
    let mut first = next(&mut subscriber).await;
    let mut dropped = publisher.segment().unwrap();
    assert!(overtaken.write("b".into()).unwrap_err().is_lost());
    assert_eq!(soon("the rest", first.collect(10)).await.unwrap(), "a");
    dropped.write("c".into()).unwrap();
    drop(dropped);
    assert_eq!(soon("the rest", next(&mut subscriber).await.collect(10)).await.unwrap(), "c");
    // An empty segment is skipped.
    drop(publisher.segment().unwrap());
    publisher.segment().unwrap().write("d".into()).unwrap();
    assert_eq!((next(&mut subscriber).await.seq(), subscriber.skipped()), (3, 1));
    assert!(soon("the rest", service.subscriber("ch", Start::Seq(1)).unwrap().next()).await.is_some());
}

#[tokio::test]
async fn a_publisher_that_restarts_frees_the_readers_of_the_last() {
    let server = Running::start(ServerConfig::default()).await;
    let dead = server.writer("/ch/0", "x").await;
    support::until("the byte", || server.service.held_bytes() == 1).await;
    drop(dead);
    let mut subscriber = server.service.subscriber("ch", Start::Current).unwrap();
    let mut left = next(&mut subscriber).await;
    assert_eq!(chunk(&mut left).await.unwrap(), "x");
    let mut publisher = server.service.publisher("ch", "a/b").unwrap();
    assert_eq!(publisher.segment().unwrap().seq(), 1);
    assert_eq!(chunk(&mut left).await, None);
}

#[tokio::test]
async fn the_end_of_a_channel_ends_both_sides_and_a_later_one_of_its_name_is_another() {
    let server = Running::start(ServerConfig::default()).await;
    let mut publisher = server.service.publisher("ch", "a/b").unwrap();
    let mut subscriber = server.service.subscriber("ch", Start::Current).unwrap();
    let mut segment = publisher.segment().unwrap();
    let mut raw = Raw::connect(server.address).await;
    let (ended, ()) = tokio::join!(soon("the end", subscriber.next()), async {
        raw.ask("DELETE", "/ch").await;
        assert_eq!(raw.answer().await.0.status(), 200);
    });
    assert!(ended.is_none() && subscriber.next().await.is_none());
    assert!(segment.write("x".into()).unwrap_err().is_closed());
    assert!(publisher.segment().unwrap_err().is_closed());
    let successor = server.service.publisher("ch", "a/b").unwrap();
    publisher.close();
    assert_eq!(server.service.channels(), 1);
    successor.close();
    assert_eq!(server.service.channels(), 0);
    assert!(server.service.subscriber("ch", Start::Next).unwrap_err().is_not_found());
}

#[tokio::test]
async fn the_owner_is_asked_nothing_and_bound_by_the_limits() {
    let config =
        ServerConfig { auto_create: false, changefeed: true, max_channels: 2, ..ServerConfig::default() };
    let no = Hooks::default().before_create(|_| async { Err(Refusal::forbidden("no")) });
    let service = Service::with_hooks(&config, no);
    let mut feed = service.subscriber("_changes", Start::Current).unwrap();
    let _publisher = service.publisher("ch", "a/b").unwrap();
    assert_eq!(soon("a change", next(&mut feed).await.collect(99)).await.unwrap(), r#"{"added":["ch"]}"#);
    assert_eq!(service.publisher("one-more", "a/b").unwrap_err().status(), Some(503));
    assert_eq!(service.publisher("_changes", "a/b").unwrap_err().status(), Some(400));
    for name in ["", "a/b"] {
        assert!(service.publisher(name, "a/b").unwrap_err().is_url(), "{name:?}");
    }
}

#[tokio::test]
async fn a_cancelled_wait_stays_at_its_segment() {
    let service = Service::new(&ServerConfig::default());
    let mut publisher = service.publisher("ch", "a/b").unwrap();
    let mut subscriber = service.subscriber("ch", Start::Next).unwrap();
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = subscriber.next() => panic!("a segment without a byte"),
            () = std::future::ready(()) => {}
        }
    }
    publisher.segment().unwrap().write("a".into()).unwrap();
    publisher.segment().unwrap().write("b".into()).unwrap();
    assert_eq!(next(&mut subscriber).await.seq(), 0);
    assert_eq!(next(&mut subscriber).await.seq(), 1);
}
