//! Publishers whose server is unreachable, stalls, or refuses them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Delivery, Publisher, SegmentWriter, ServerConfig};
use support::{RawServer, Running, soon};
use tokio::sync::watch;

async fn wait(delivery: &mut watch::Receiver<Delivery>, wanted: impl Fn(&Delivery) -> bool) -> Delivery {
    soon("the delivery", delivery.wait_for(|now| wanted(now))).await.unwrap().clone()
}

async fn write(publisher: &mut Publisher, text: &'static str) -> SegmentWriter {
    let mut segment = support::segment(publisher).await;
    support::write(&mut segment, text);
    segment
}

#[tokio::test]
async fn a_document_outlives_an_outage_of_its_server() {
    let server = Running::start(ServerConfig::default()).await;
    let (url, address) = (server.url("ch"), server.address);
    let mut publisher = Publisher::new(&url, "a/b", ClientConfig::default()).unwrap();
    let mut delivery = publisher.delivery();
    assert!(matches!(*delivery.borrow(), Delivery::Idle));
    soon("the first", write(&mut publisher, "1").await.delivered()).await.unwrap();
    wait(&mut delivery, |now| matches!(now, Delivery::Taken)).await;
    server.kill().await;
    wait(&mut delivery, |now| matches!(now, Delivery::Away)).await;
    let document = tokio::spawn(write(&mut publisher, "2").await.delivered());
    let _server = Running::start_at(address, ServerConfig::default()).await;
    soon("the second", document).await.unwrap().unwrap();
    wait(&mut delivery, |now| matches!(now, Delivery::Taken)).await;
    assert_eq!((publisher.counters().segments(), publisher.counters().segments_dropped()), (2, 0));
}

#[tokio::test]
async fn a_server_that_takes_connections_and_does_not_answer_is_away_and_its_bytes_are_counted() {
    let server = RawServer::start().await;
    let config = ClientConfig { stall_timeout: Duration::from_millis(100), ..ClientConfig::default() };
    let mut publisher = Publisher::new(&server.url(), "a/b", config).unwrap();
    let mut delivery = publisher.delivery();
    let begin = async {
        server.answer("GET /ch/next", 200, "", "0").await;
        server.expect("POST /ch/0").await
    };
    let (_silent, segment) = tokio::join!(begin, write(&mut publisher, "abc"));
    let _ahead = server.expect("POST /ch/1").await;
    let lost = soon("the loss", segment.delivered()).await.unwrap_err();
    assert!(lost.is_lost(), "{lost}");
    wait(&mut delivery, |now| matches!(now, Delivery::Away)).await;
    let counters = publisher.counters();
    assert_eq!((counters.segments_dropped(), counters.bytes_dropped()), (1, 3));
}

#[tokio::test]
async fn a_server_that_stays_silent_is_given_up_after_the_window() {
    let server = RawServer::start().await;
    let config = ClientConfig {
        stall_timeout: Duration::from_millis(20),
        retry_window: Duration::from_millis(300),
        ..ClientConfig::default()
    };
    let mut publisher = Publisher::new(&server.url(), "a/b", config).unwrap();
    let mut delivery = publisher.delivery();
    let begin = async {
        server.answer("GET /ch/next", 200, "", "0").await;
        let mut silent = Vec::new();
        loop {
            silent.push(server.request().await);
        }
    };
    let publish = async {
        loop {
            match publisher.segment().await {
                Ok(mut segment) => {
                    segment.try_write(Bytes::from_static(b"abc")).unwrap();
                    let _ = segment.delivered().await;
                }
                Err(error) => return error,
            }
        }
    };
    let error = tokio::select! {
        error = soon("the end", publish) => error,
        () = begin => unreachable!(),
    };
    assert!(error.is_timeout(), "{error}");
    wait(&mut delivery, |now| matches!(now, Delivery::Failed(error) if error.is_timeout())).await;
}

#[tokio::test]
async fn a_channel_that_ends_is_known_without_publishing() {
    for (answer, headers) in [(200, "Lp-Trickle-Closed: terminated\r\n"), (403, ""), (470, "")] {
        let server = RawServer::start().await;
        let mut publisher = Publisher::new(&server.url(), "a/b", ClientConfig::default()).unwrap();
        let mut delivery = publisher.delivery();
        let begin = async {
            server.answer("GET /ch/next", 200, "", "0").await;
            let mut raw = server.expect("POST /ch/0").await;
            raw.reply(answer, headers, "").await;
        };
        let (_, _segment) = tokio::join!(begin, soon("a segment", publisher.segment()));
        let Delivery::Failed(error) = wait(&mut delivery, |now| matches!(now, Delivery::Failed(_))).await
        else {
            panic!("it failed")
        };
        assert_eq!((error.is_closed(), error.status()), (answer == 200, (answer != 200).then_some(answer)));
    }
}
