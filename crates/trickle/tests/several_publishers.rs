//! Several publishers on one channel: each goes on, and the channel ends with the last of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Publisher, SegmentReader, ServerConfig, Start, Subscriber};
use support::{Running, soon, until};

fn publisher(url: &str) -> Publisher {
    Publisher::new(url, "video/MP2T", ClientConfig::default()).unwrap()
}

/// Publishes one segment and waits until the server has it.
async fn publish(publisher: &mut Publisher, text: &'static str) -> u64 {
    let mut segment = soon("a segment", publisher.segment()).await.unwrap();
    soon("room", segment.write(Bytes::from_static(text.as_bytes()))).await.unwrap();
    let counters = publisher.counters();
    let taken = counters.segments();
    segment.finish();
    until("the segment", || counters.segments() > taken).await;
    counters.segments()
}

async fn text(mut segment: SegmentReader) -> Bytes {
    soon("the segment", segment.collect(1000)).await.unwrap()
}

#[tokio::test]
async fn a_second_publisher_does_not_end_the_first() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut first = publisher(&url);
    publish(&mut first, "first").await;
    let mut second = publisher(&url);
    let (of_first, of_second) = (first.counters(), second.counters());
    for _ in 0..10 {
        publish(&mut second, "second").await;
        publish(&mut first, "first").await;
    }
    assert_eq!((of_first.segments_dropped(), of_second.segments_dropped()), (0, 0));
    soon("the end", second.close()).await.unwrap();
    for _ in 0..10 {
        publish(&mut first, "first").await;
    }
    assert_eq!((of_first.segments(), of_first.segments_dropped()), (21, 0));
    soon("the end", first.close()).await.unwrap();
    assert_eq!(server.service.channels(), 0, "the channel ended with its last publisher");
}

#[tokio::test]
async fn what_two_publishers_write_at_once_comes_in_whole_segments_of_either() {
    let server = Running::start(ServerConfig { window: 100, ..ServerConfig::default() }).await;
    let url = server.url("live");
    let (mut first, mut second) = (publisher(&url), publisher(&url));
    publish(&mut first, "1").await;
    for _ in 0..10 {
        let mut of_first = soon("a segment", first.segment()).await.unwrap();
        let mut of_second = soon("a segment", second.segment()).await.unwrap();
        for _ in 0..10 {
            soon("room", of_first.write(Bytes::from_static(b"1"))).await.unwrap();
            soon("room", of_second.write(Bytes::from_static(b"2"))).await.unwrap();
        }
        let (one, two) = tokio::join!(
            soon("the first's", of_first.delivered()),
            soon("the second's", of_second.delivered())
        );
        one.unwrap();
        two.unwrap();
    }
    let mut subscriber = Subscriber::new(&url, Start::Seq(0), ClientConfig::default()).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 21 {
        let segment = soon("a segment", subscriber.next()).await.unwrap().unwrap();
        seen.push(text(segment).await);
    }
    let count = |text: &str| seen.iter().filter(|segment| *segment == text).count();
    assert_eq!((count("1"), count("1111111111"), count("2222222222")), (1, 10, 10), "{seen:?}");
}

#[tokio::test]
async fn readers_do_not_wait_for_a_publisher_that_came_and_died() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut first = publisher(&url);
    publish(&mut first, "a").await;
    let mut subscriber = Subscriber::new(&url, Start::Current, ClientConfig::default()).unwrap();
    assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
    // Its first segment has the number that the reader waits for, or one after it.
    let mut second = publisher(&url);
    let idle = soon("a segment", second.segment()).await.unwrap();
    for _ in 0..2 {
        publish(&mut first, "a").await;
    }
    for _ in 0..2 {
        assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
    }
    drop((idle, second));
    for _ in 0..2 {
        publish(&mut first, "a").await;
        assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
    }
}
