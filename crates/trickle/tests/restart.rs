//! The stream goes on after a server or a publisher has died and come back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, SegmentReader, ServerConfig, Start, Subscriber};
use support::{Running, next, publisher, segment, soon, until, write};

fn subscriber(url: &str) -> Subscriber {
    Subscriber::new(url, Start::Current, ClientConfig::default()).unwrap()
}

async fn chunk(segment: &mut SegmentReader) -> Option<Bytes> {
    soon("a chunk", segment.chunk()).await
}

#[tokio::test]
async fn a_server_that_is_gone_for_many_segments_costs_those_and_no_more() {
    let server = Running::start(ServerConfig::default()).await;
    let (url, address) = (server.url("live"), server.address);
    let mut publisher = publisher(&url);
    let counters = publisher.counters();
    let mut writer = segment(&mut publisher).await;
    write(&mut writer, "a");
    let mut subscribers = [subscriber(&url), subscriber(&url), subscriber(&url)];
    let mut readers = Vec::new();
    for subscriber in &mut subscribers {
        let mut reader = next(subscriber).await;
        assert_eq!(chunk(&mut reader).await.unwrap(), "a");
        readers.push(reader);
    }
    server.kill().await;
    for reader in &mut readers {
        assert_eq!(chunk(reader).await, None);
        assert!(!reader.is_complete());
    }
    until("the loss", || writer.try_write(Bytes::from_static(b"x")).is_err()).await;
    // Nothing waits for the server. Each new segment replaces the one before it.
    for _ in 0..20 {
        writer = segment(&mut publisher).await;
        write(&mut writer, "never sent");
        writer.finish();
    }
    writer = segment(&mut publisher).await;
    write(&mut writer, "b");
    until("the count", || counters.segments_dropped() == 21).await;
    until("the number", || writer.seq() == 1).await;
    let _server = Running::start_at(address, ServerConfig::default()).await;
    for (subscriber, reader) in subscribers.iter_mut().zip(&mut readers) {
        *reader = next(subscriber).await;
        assert_eq!((reader.seq(), chunk(reader).await.unwrap()), (1, Bytes::from_static(b"b")));
    }
    write(&mut writer, "c");
    writer.finish();
    for reader in &mut readers {
        assert_eq!(chunk(reader).await.unwrap(), "c");
        assert_eq!(chunk(reader).await, None);
        assert!(reader.is_complete());
    }
    writer = segment(&mut publisher).await;
    write(&mut writer, "d");
    for subscriber in &mut subscribers {
        let mut reader = next(subscriber).await;
        assert_eq!((reader.seq(), chunk(&mut reader).await.unwrap()), (2, Bytes::from_static(b"d")));
    }
    soon("the end", publisher.close()).await.unwrap();
    for subscriber in &mut subscribers {
        assert!(soon("the end", subscriber.next()).await.unwrap().is_none());
    }
    assert_eq!((counters.segments(), counters.segments_dropped()), (2, 21));
}

#[tokio::test]
async fn a_subscriber_follows_a_channel_that_begins_again_at_0() {
    let server = Running::start(ServerConfig::default()).await;
    let (url, address) = (server.url("live"), server.address);
    let mut first = publisher(&url);
    let mut subscriber = subscriber(&url);
    for seq in 0..4 {
        let mut writer = segment(&mut first).await;
        write(&mut writer, "a");
        writer.finish();
        let mut reader = next(&mut subscriber).await;
        assert_eq!(reader.seq(), seq);
        while chunk(&mut reader).await.is_some() {}
    }
    drop(first);
    server.kill().await;
    let _server = Running::start_at(address, ServerConfig::default()).await;
    let mut second = publisher(&url);
    let mut writer = segment(&mut second).await;
    assert_eq!(writer.seq(), 0);
    write(&mut writer, "b");
    let read = async {
        let mut reader = next(&mut subscriber).await;
        (reader.seq(), chunk(&mut reader).await.unwrap())
    };
    // Whether or not the first segment has begun yet, the subscriber continues at the latest one.
    let go_on = async {
        let mut seq = 0;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            seq += 1;
            writer = second.segment().await.unwrap();
            assert_eq!(writer.seq(), seq);
            write(&mut writer, "b");
        }
    };
    let (seq, bytes) = tokio::select! {
        got = soon("a segment", read) => got,
        never = go_on => never,
    };
    assert_eq!(bytes, "b");
    assert!(seq < 1000);
}

#[tokio::test]
async fn a_publisher_that_restarts_takes_the_next_number_and_frees_the_readers_of_the_last() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut first = publisher(&url);
    let mut subscriber = subscriber(&url);
    let mut writer = segment(&mut first).await;
    write(&mut writer, "a");
    let mut reader = next(&mut subscriber).await;
    assert_eq!(chunk(&mut reader).await.unwrap(), "a");
    drop(first);
    let mut second = publisher(&url);
    let mut writer = segment(&mut second).await;
    assert_eq!(writer.seq(), 1);
    write(&mut writer, "b");
    assert_eq!(chunk(&mut reader).await, None);
    let mut reader = next(&mut subscriber).await;
    assert_eq!((reader.seq(), chunk(&mut reader).await.unwrap()), (1, Bytes::from_static(b"b")));
}

#[tokio::test]
async fn a_subscriber_may_be_there_before_its_channel() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut subscriber = subscriber(&url);
    let mut publisher = publisher(&url);
    let publish = async {
        let mut writer = segment(&mut publisher).await;
        write(&mut writer, "a");
        writer
    };
    let (_writer, mut reader) = tokio::join!(publish, next(&mut subscriber));
    assert_eq!((reader.seq(), chunk(&mut reader).await.unwrap()), (0, Bytes::from_static(b"a")));
}
