//! A worker that has run many streams is as it was after a few. Alone in its process: what is counted is the
//! process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]
#![cfg(target_os = "linux")]

mod support;

use candle_core::{Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::{FrameProcessor, Generated, Result, StreamContext};
use cutrickle_server::StreamServer;
use serde_json::Value;
use support::{Upstream, Worker, until};

#[derive(Clone)]
struct Grey;

impl FrameProcessor for Grey {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn generate(&mut self, timestamp: Timestamp, _: &StreamContext) -> Result<Generated> {
        let pixels = Tensor::full(128u8, (240, 320, 3), &Device::Cpu)?;
        Ok(Generated { video: Some(VideoFrame::from_tensor(pixels, timestamp)?), audio: Vec::new() })
    }
}

/// File descriptors, threads, and resident memory in MB.
fn held() -> (usize, usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (count("/proc/self/fd"), count("/proc/self/task"), kilobytes / 1000)
}

#[tokio::test]
async fn two_hundred_streams_leave_nothing_behind() {
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(Grey).target_fps(60)).await;
    worker.until_health("IDLE").await;
    let mut body = upstream.start();
    body["subscribe_url"] = Value::Null;
    let mut early = None;
    for n in 1..=200 {
        worker.post_named("/stream/start", &format!("take-{n}"), body.to_string()).await.succeeds();
        until(async || worker.get("/stream/status").await.json()["frames_out"].as_u64() >= Some(2)).await;
        worker.post("/stream/stop", "").await.succeeds();
        if n == 40 {
            early = Some(held());
        }
    }
    let (files, threads, megabytes) = early.unwrap();
    // A connection or thread of the last stream may be in its last moments.
    until(async || held().0 <= files && held().1 <= threads).await;
    assert!(held().2 <= megabytes + 4, "{megabytes} MB after 40 streams, {} after 200", held().2);
}
