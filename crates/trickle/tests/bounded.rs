//! The memory of the server is limited whatever its peers do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Publisher, ServerConfig};
use support::{Raw, Running, soon, until};
use tokio::net::TcpSocket;

const SEGMENT: u64 = 16 << 20;
const PART: usize = 256 << 10;

#[tokio::test]
async fn a_dead_reader_costs_one_segment_until_it_is_cut() {
    let config = ServerConfig { window: 2, write_timeout: Duration::from_secs(2), ..ServerConfig::default() };
    let server = Running::start(config).await;
    let mut publisher = Publisher::new(&server.url("ch"), "video/MP2T", ClientConfig::default()).unwrap();
    let mut dead = None;
    let part = Bytes::from(vec![7; PART]);
    for seq in 0..8 {
        let mut segment = soon("a segment", publisher.segment()).await.unwrap();
        for _ in 0..SEGMENT as usize / PART {
            soon("room", segment.write(part.clone())).await.unwrap();
            // The window and the segment that the dead reader holds.
            assert!(server.service.held_bytes() <= 3 * SEGMENT);
        }
        segment.finish();
        let taken = publisher.counters();
        until("the segment", || taken.segments() == seq + 1).await;
        if seq == 0 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let mut raw = Raw::over(socket.connect(server.address).await.unwrap());
            raw.ask("GET", "/ch/0").await;
            raw.stream.readable().await.unwrap();
            dead = Some(raw);
        }
    }
    until("the cut", || server.service.held_bytes() <= 2 * SEGMENT).await;
    // The reader was disconnected before the end of its segment.
    let got = dead.unwrap().rest().await.len() as u64;
    assert!(got < SEGMENT, "{got}");
}

#[tokio::test]
async fn idle_channels_and_waiting_readers_come_and_go_without_a_trace() {
    let server = Running::start(ServerConfig::default()).await;
    for round in 0..3 {
        let mut readers = Vec::new();
        for channel in 0..50 {
            let mut raw = Raw::connect(server.address).await;
            raw.ask("POST", &format!("/{channel}")).await;
            raw.answer().await;
            raw.ask("GET", &format!("/{channel}/-1")).await;
            readers.push(raw);
        }
        assert_eq!(server.service.channels(), 50, "round {round}");
        let mut raw = Raw::connect(server.address).await;
        for channel in 0..50 {
            raw.ask("DELETE", &format!("/{channel}")).await;
            assert_eq!(raw.answer().await.0.status(), 200);
        }
        for reader in &mut readers {
            let (head, _) = reader.answer().await;
            // A GET that arrives after the DELETE gets a 404.
            assert!(head.header("lp-trickle-closed").is_some() || head.status() == 404);
        }
        assert_eq!((server.service.channels(), server.service.held_bytes()), (0, 0));
    }
}

#[tokio::test]
async fn a_greedy_publisher_costs_others_nothing_however_many_bytes_it_sends() {
    let config = ServerConfig { max_total_bytes: 4 << 20, ..ServerConfig::default() };
    let server = Running::start(config).await;
    let _modest = server.writer("/modest/0", "kept").await;
    let mut greedy = Publisher::new(&server.url("greedy"), "video/MP2T", ClientConfig::default()).unwrap();
    let taken = greedy.counters();
    for seq in 0..8 {
        let mut segment = soon("a segment", greedy.segment()).await.unwrap();
        for _ in 0..(2 << 20) / PART {
            soon("room", segment.write(Bytes::from(vec![7; PART]))).await.unwrap();
        }
        segment.finish();
        until("the segment", || taken.segments() == seq + 1).await;
        assert!(server.service.held_bytes() <= 4 << 20);
    }
    assert!(server.service.evicted_segments() >= 6);
    let mut reader = server.reader("/modest/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "kept");
}

#[tokio::test]
async fn a_segment_for_which_there_is_no_room_is_507_and_closed() {
    let server = Running::start(ServerConfig { max_total_bytes: 1000, ..ServerConfig::default() }).await;
    let mut writer = server.writer("/ch/0", "begun").await;
    let mut reader = server.reader("/ch/0").await;
    writer.chunk(&"x".repeat(1000)).await;
    let (head, _) = writer.answer().await;
    assert_eq!((head.status(), head.header("connection")), (507, Some("close")));
    assert_eq!(reader.body().await, "begun");
}

#[tokio::test]
async fn a_reader_of_a_segment_that_had_to_go_is_cut_off() {
    let server = Running::start(ServerConfig { max_total_bytes: 4000, ..ServerConfig::default() }).await;
    let _writer = server.writer("/ch/0", &"x".repeat(900)).await;
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap().len(), 900);
    let mut next = Raw::connect(server.address).await;
    next.post("/ch/1", "").await;
    for _ in 0..4 {
        next.chunk(&"x".repeat(900)).await;
    }
    assert_eq!(reader.rest().await, "", "neither more of it, nor its end");
}
