//! What is dropped where something is slower than the input, and that nothing is where nothing may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::sync::Arc;
use std::time::Duration;

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::{AccessUnit, TrackKind};
use cutrickle_pipeline::compose::from_fn;
use cutrickle_pipeline::ends::{Coded, memory};
use cutrickle_pipeline::{
    EndReason, Ends, FrameProcessor, MetricsRegistry, Params, Queueing, Result, Session, Stage,
    StreamContext, StreamOptions,
};
use serde_json::json;
use stream::{Clip, Stream, Untouched, ended, fates, until, with, within};
use tokio::sync::Semaphore;

/// A stream that loses nothing. It has hardly any room, and no time at its end.
fn lossless() -> StreamOptions {
    with(StreamOptions::default(), |options| {
        options.queueing = Queueing::Lossless;
        options.max_queue_size = 2;
        options.stop_deadline = Duration::from_millis(1);
    })
}

/// Takes a moment for each frame.
fn slow() -> impl Stage + use<> {
    from_fn(|frame| {
        std::thread::sleep(Duration::from_millis(3));
        Ok(Some(frame))
    })
}

/// Plays a clip of `frames` frames to somebody who takes `pause` over each unit.
async fn play(stage: &impl Stage, frames: usize, pause: Duration) -> (Session, Vec<AccessUnit>) {
    let clip = Clip { audio: true, ..Clip::of(frames) };
    let ((feed, source), (sink, mut output)) = (memory::source(1), memory::sink(1));
    let ends = Ends::new().with_source(source).with_sink(sink);
    let metrics = MetricsRegistry::new().unwrap();
    let session = Session::start(stage, "test", Params::new(), ends, lossless(), &metrics).unwrap();
    let feeding = tokio::spawn(async move {
        feed.tracks(clip.tracks()).await.unwrap();
        for unit in clip.units() {
            feed.unit(unit).await.unwrap();
        }
    });
    let mut out = Vec::new();
    while let Some(coded) = within("the next unit", output.next()).await {
        if let Coded::Unit(unit) = coded {
            out.push(unit);
        }
        tokio::time::sleep(pause).await;
    }
    feeding.await.unwrap();
    ended(&session).await;
    (session, out)
}

/// All of a clip came out, in order.
#[track_caller]
fn assert_whole(session: &Session, out: Vec<AccessUnit>, frames: usize) {
    let status = session.status();
    let m = status.metrics;
    assert_eq!((status.end_reason, status.last_error), (Some(EndReason::InputEnded), None));
    assert_eq!((m.frames_in, m.frames_out, m.frames_dropped), (frames as u64, frames as u64, 0), "{m:?}");
    assert_eq!(m.output_bytes_dropped, 0);
    let sent = Clip { audio: true, ..Clip::of(frames) }.units();
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let times = |units: &[AccessUnit]| -> Vec<_> {
            units.iter().filter(|unit| unit.codec.kind() == kind).map(|unit| unit.pts).collect()
        };
        assert_eq!(times(&out), times(&sent), "{kind}");
    }
    let seen = stream::Seen { units: out, ..stream::Seen::default() };
    assert_eq!(seen.numbers(), (0..frames as u8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_processor_costs_nothing_where_nothing_may_be_lost() {
    let (session, out) = play(&slow(), 120, Duration::ZERO).await;
    assert_whole(&session, out, 120);
}

/// Takes audio as well, which then waits among the frames, and takes a moment for each frame.
#[derive(Clone)]
struct SlowOnBoth;

impl FrameProcessor for SlowOnBoth {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        std::thread::sleep(Duration::from_millis(3));
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        Ok(vec![frame])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_decoder_still_holds_when_the_input_ends_is_processed_though_audio_shares_its_queue() {
    let (session, out) = play(&SlowOnBoth, 20, Duration::ZERO).await;
    assert_whole(&session, out, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sink_costs_nothing_where_nothing_may_be_lost() {
    let (session, out) = play(&Untouched, 120, Duration::from_millis(2)).await;
    assert_whole(&session, out, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_waits_for_a_slow_processor_where_nothing_may_be_lost() {
    let mut stream = Stream::start(&slow(), json!({}), lossless());
    for (fed, unit) in Clip::of(120).units().into_iter().enumerate() {
        stream.feed([unit]).await;
        let ahead = fed as u64 + 1 - stream.session.metrics().frames_processed;
        // In the hands of the source and the decoder, and in the queues before, between and after them.
        assert!(ahead <= 16, "the source is {ahead} frames ahead of the processor");
    }
    let (_, seen) = stream.finish().await;
    assert_eq!(seen.frames(), 120);
}

/// Works on a frame until it is given a permit.
#[derive(Clone)]
struct Waiting(Arc<Semaphore>);

impl FrameProcessor for Waiting {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.0.acquire().await?.forget();
        Ok(Some(frame))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_live_video_what_came_is_what_went_out_was_dropped_or_is_in_flight() {
    let permits = Arc::new(Semaphore::new(0));
    let options = with(StreamOptions::default(), |options| options.max_queue_size = 10);
    let mut stream = Stream::start(&Waiting(Arc::clone(&permits)), json!({}), options);
    let mut units = Clip::of(60).units();
    let rest = units.split_off(40);
    let more = units.split_off(1);
    stream.feed(units).await;
    until(&stream.session, |m| m.frames_processed == 1).await;
    stream.feed(more).await;
    // One is worked on, and ten wait.
    until(&stream.session, |m| (m.frames_processed, m.frames_dropped) == (1, 40 - 11)).await;
    let m = stream.session.metrics();
    assert_eq!((m.frames_in, m.frames_out, m.frames_in - fates(&m)), (40, 0, 11), "{m:?}");
    permits.add_permits(100);
    stream.feed(rest).await;
    let (session, seen) = stream.finish().await;
    let (m, numbers) = (session.metrics(), seen.numbers());
    assert_eq!((m.frames_in, m.frames_out + m.frames_dropped), (60, 60), "{m:?}");
    assert_eq!(m.frames_out, numbers.len() as u64);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&59), "the newest is never dropped");
}
