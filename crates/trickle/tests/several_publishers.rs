//! Several publishers on one channel. Each one can continue, and the channel ends with the last of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Publisher, SegmentReader, ServerConfig, Start, Subscriber};
use support::{Running, publisher, segment, soon};

/// Publishes one segment. Returns false if it was lost because the other publisher had taken its number.
async fn publish(publisher: &mut Publisher, text: &'static str) -> bool {
    let mut segment = segment(publisher).await;
    for at in 0..text.len() {
        soon("room", segment.write(Bytes::from_static(&text.as_bytes()[at..=at]))).await.unwrap();
    }
    soon("the segment", segment.delivered()).await.is_ok()
}

async fn text(mut segment: SegmentReader) -> Bytes {
    soon("the segment", segment.collect(1000)).await.unwrap()
}

#[tokio::test]
async fn a_second_publisher_does_not_end_the_first() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut first = publisher(&url);
    assert!(publish(&mut first, "first").await);
    let mut second = publisher(&url);
    for _ in 0..5 {
        publish(&mut second, "second").await;
        publish(&mut first, "first").await;
    }
    assert!(second.counters().segments() > 0 && first.counters().segments() > 1);
    soon("the end", second.close()).await.unwrap();
    // This one may have been sent into a segment of the second publisher.
    publish(&mut first, "first").await;
    for _ in 0..10 {
        assert!(publish(&mut first, "first").await);
    }
    soon("the end", first.close()).await.unwrap();
    assert_eq!(server.service.channels(), 0, "the channel ended with its last publisher");
}

#[tokio::test]
async fn what_two_publishers_write_at_once_comes_in_whole_segments_of_either() {
    let server = Running::start(ServerConfig { window: 1000, ..ServerConfig::default() }).await;
    let url = server.url("live");
    let (mut first, mut second) = (publisher(&url), publisher(&url));
    let mut taken = [0, 0];
    for _ in 0..10 {
        let (one, two) = tokio::join!(publish(&mut first, "1111"), publish(&mut second, "2222"));
        taken[0] += usize::from(one);
        taken[1] += usize::from(two);
    }
    assert!(taken.iter().all(|taken| *taken > 0), "{taken:?}");
    let mut subscriber = Subscriber::new(&url, Start::Seq(0), ClientConfig::default()).unwrap();
    let mut seen = [0, 0];
    while seen.iter().sum::<usize>() < taken.iter().sum() {
        let segment = soon("a segment", subscriber.next()).await.unwrap().unwrap();
        match &text(segment).await[..] {
            b"1111" => seen[0] += 1,
            b"2222" => seen[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, taken, "what was taken is there, and what is not was known to be lost");
}

#[tokio::test]
async fn readers_do_not_wait_for_a_publisher_that_came_and_died() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut first = publisher(&url);
    assert!(publish(&mut first, "a").await);
    let mut subscriber = Subscriber::new(&url, Start::Current, ClientConfig::default()).unwrap();
    assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
    // Its first segment has the number that the reader is waiting for, or a later one.
    let mut second = publisher(&url);
    let idle = soon("a segment", second.segment()).await.unwrap();
    // One of them may be sent into the segment of the second publisher and be lost.
    for _ in 0..3 {
        if publish(&mut first, "a").await {
            assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
        }
    }
    drop((idle, second));
    for _ in 0..3 {
        if publish(&mut first, "a").await {
            assert_eq!(text(soon("a segment", subscriber.next()).await.unwrap().unwrap()).await, "a");
        }
    }
}
