//! What tests of whole streams are made of: a trickle server and the channels on it, a source of segments that ffmpeg made, a
//! session, a viewer who demuxes what comes out, and ffprobe as the judge of it.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod channels;
mod clip;
mod documents;
mod judge;
mod viewer;

use std::time::Duration;

use cutrickle_frame::VideoFrame;
use cutrickle_live::{Retry, TrickleOptions};
use cutrickle_pipeline::{FrameProcessor, Metrics, Queueing, Result, Session, StreamContext, StreamOptions};
use cutrickle_trickle::ClientConfig;

pub use channels::{Channels, Source};
pub use clip::Clip;
pub use documents::Documents;
pub use judge::{Verdict, judge, measured, rises};
pub use viewer::{Seen, Viewer};

/// However slow the machine: what has not happened by then will not.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub async fn ended(session: &Session) {
    tokio::time::timeout(DEADLINE, session.ended()).await.expect("the session ends");
}

/// Waits until a session's figures are so.
pub async fn until(session: &Session, so: impl Fn(Metrics) -> bool) {
    until_so(|| session.metrics(), so).await;
}

/// Waits until `figures` are so.
pub async fn until_so(figures: impl Fn() -> Metrics, so: impl Fn(Metrics) -> bool) {
    let wait = async {
        while !so(figures()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{:?}", figures()));
}

/// Waits until the session has taken `n` frames from its input.
pub async fn taken(session: &Session, n: u64) {
    until(session, |m| m.frames_in >= n).await;
}

/// The options of a stream whose frames are all to come out, however slow the machine is.
pub fn every_frame() -> StreamOptions {
    with(StreamOptions::default(), |options| {
        (options.queueing, options.max_queue_size) = (Queueing::All, 100);
    })
}

/// `options` with some of them changed.
pub fn with(mut options: StreamOptions, change: impl FnOnce(&mut StreamOptions)) -> StreamOptions {
    change(&mut options);
    options
}

/// Servers that are reached by `client`, and tried again for as long as by default.
pub fn reached_by(client: ClientConfig) -> TrickleOptions {
    let mut trickle = TrickleOptions::default();
    trickle.client = client;
    trickle
}

/// Servers that are tried again for `window`.
pub fn retried_for(window: Duration) -> TrickleOptions {
    let mut trickle = TrickleOptions::default();
    trickle.retry = Retry { input: window, output: window };
    trickle
}

/// Where frames went.
fn fates(m: &Metrics) -> u64 {
    m.frames_out + m.frames_dropped + m.frames_paced + m.frames_withheld + m.frames_failed
}

/// The frames of in = out + dropped + … add up once a stream has ended.
#[track_caller]
pub fn assert_accounted(session: &Session) {
    let m = session.metrics();
    assert_eq!(m.frames_in, fates(&m), "{m:?}");
}

/// Frames go out as they came.
#[derive(Clone)]
pub struct Untouched;

impl FrameProcessor for Untouched {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

/// Every pixel replaced.
#[derive(Clone)]
pub struct Replaced;

impl FrameProcessor for Replaced {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let pixels = frame.tensor()?;
        Ok(Some(frame.replace_tensor(pixels)?))
    }
}
