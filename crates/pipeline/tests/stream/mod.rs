//! What tests of whole streams are made of, all of it within the process: access units of numbered frames, a session between
//! memory ends, and a viewer of what comes out.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod clip;
mod documents;
mod meeting;
mod viewer;

use std::time::Duration;

use cutrickle_frame::VideoFrame;
use cutrickle_media::{AccessUnit, Tracks};
use cutrickle_pipeline::ends::memory::{self, Feed};
use cutrickle_pipeline::{
    Ends, FrameProcessor, Metrics, MetricsRegistry, Params, Queueing, Result, Session, Stage, StreamContext,
    StreamOptions,
};
use serde_json::Value;

pub use clip::{Clip, FRAME, inverted, number, numbered};
pub use documents::{Collected, Told, collector, teller};
pub use meeting::{Composition, SIZE, Several, compositions};
pub use viewer::{Seen, Viewer};

/// However slow the machine: what has not happened by then will not.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A session that is fed from here, and whose output is watched.
pub struct Stream {
    pub session: Session,
    pub viewer: Viewer,
    feed: Feed,
    /// Access units of video that were handed over.
    fed: u64,
}

impl Stream {
    /// Starts a stream called `test` of H.264.
    pub fn start(stage: &impl Stage, params: Value, options: StreamOptions) -> Self {
        Self::start_in(&MetricsRegistry::new().unwrap(), "test", stage, params, options)
    }

    /// The same with a name, and with its figures in `metrics`.
    pub fn start_in(
        metrics: &MetricsRegistry,
        id: &str,
        stage: &impl Stage,
        params: Value,
        options: StreamOptions,
    ) -> Self {
        Self::start_between(Ends::new(), metrics, id, stage, params, options)
    }

    /// The same with further ends.
    pub fn start_between(
        ends: Ends,
        metrics: &MetricsRegistry,
        id: &str,
        stage: &impl Stage,
        params: Value,
        options: StreamOptions,
    ) -> Self {
        let ((feed, source), (sink, output)) = (memory::source(1), memory::sink(64));
        let ends = ends.with_source(source).with_sink(sink);
        let session = Session::start(stage, id, params_of(params), ends, options, metrics).unwrap();
        Self { session, viewer: Viewer::new(output), feed, fed: 0 }
    }

    /// Says which tracks the units are of.
    pub async fn tracks(&self, tracks: Tracks) {
        self.feed.tracks(tracks).await.unwrap();
    }

    /// Hands over `units`.
    pub async fn feed(&mut self, units: impl IntoIterator<Item = AccessUnit>) {
        for unit in units {
            self.fed += u64::from(unit.codec.is_video());
            self.feed.unit(unit).await.unwrap();
        }
    }

    /// Waits until every frame that was handed over has met its fate.
    pub async fn settled(&self) {
        until(&self.session, |m| m.frames_in == self.fed && fates(&m) == self.fed).await;
    }

    /// Ends the input, and waits until the session has ended. Gives what came out.
    pub async fn end(self) -> (Session, Seen) {
        let Self { session, viewer, feed, .. } = self;
        drop(feed);
        ended(&session).await;
        (session, viewer.end().await)
    }

    /// Ends the input once everything is through, and checks that nothing is unaccounted for.
    pub async fn finish(self) -> (Session, Seen) {
        self.settled().await;
        let (session, seen) = self.end().await;
        assert_accounted(&session);
        (session, seen)
    }
}

/// Plays `clip` through `stage`.
pub async fn play(stage: &impl Stage, clip: &Clip, options: StreamOptions) -> (Session, Seen) {
    let mut stream = Stream::start(stage, Value::Null, options);
    stream.tracks(clip.tracks()).await;
    stream.feed(clip.units()).await;
    stream.finish().await
}

pub fn params_of(value: Value) -> Params {
    value.as_object().cloned().unwrap_or_default()
}

pub async fn ended(session: &Session) {
    within("the session's end", session.ended()).await;
}

/// Waits for what happens in any case, unless something hangs.
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, happens)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
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

/// Where frames went.
pub fn fates(m: &Metrics) -> u64 {
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
