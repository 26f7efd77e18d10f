//! Publisher, server and subscribers together.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Publisher, ServerConfig, Start, Subscriber};
use support::{Running, soon};

#[tokio::test]
async fn several_subscribers_get_every_byte_of_every_segment_in_order() {
    let server = Running::start(ServerConfig::default()).await;
    let url = server.url("live");
    let mut publisher = Publisher::new(&url, "video/MP2T", ClientConfig::default()).unwrap();
    publisher.create().await.unwrap();
    let read = Arc::new(AtomicU64::new(0));
    let subscribers: Vec<_> = (0..4)
        .map(|_| {
            let read = read.clone();
            let mut subscriber = Subscriber::new(&url, Start::Seq(0), ClientConfig::default()).unwrap();
            tokio::spawn(async move {
                let mut all = Vec::new();
                while let Some(mut segment) = subscriber.next().await.unwrap() {
                    assert_eq!(segment.content_type(), Some("video/MP2T"));
                    let mut bytes = Vec::new();
                    while let Some(chunk) = segment.chunk().await {
                        bytes.extend_from_slice(&chunk);
                    }
                    assert!(segment.is_complete());
                    all.push((segment.seq(), bytes));
                    read.fetch_add(1, Ordering::Relaxed);
                }
                all
            })
        })
        .collect();
    let mut sent = Vec::new();
    for seq in 0..20u64 {
        let mut segment = soon("a segment", publisher.segment()).await.unwrap();
        assert_eq!(segment.seq(), seq);
        let mut bytes = Vec::new();
        for part in 0..5u8 {
            let chunk = vec![seq as u8 ^ part; 10_000];
            bytes.extend_from_slice(&chunk);
            segment.write(Bytes::from(chunk)).await.unwrap();
        }
        segment.finish();
        sent.push((seq, bytes));
        // Readers must not fall out of the window in this test.
        if seq % 4 == 3 {
            support::until("the readers", || read.load(Ordering::Relaxed) == 4 * (seq + 1)).await;
        }
    }
    let counters = publisher.counters();
    soon("the end", publisher.close()).await.unwrap();
    for subscriber in subscribers {
        let got = soon("a subscriber", subscriber).await.unwrap();
        assert_eq!(got.len(), sent.len());
        assert!(got == sent);
    }
    assert_eq!((counters.segments(), counters.bytes()), (20, 20 * 50_000));
    assert_eq!((counters.segments_dropped(), counters.bytes_dropped()), (0, 0));
}
