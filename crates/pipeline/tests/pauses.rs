//! Video that pauses, that has one frame a second, or that nobody takes: audio goes on, whole and in its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use cutrickle_media::{AccessUnit, Size, Ticks, TrackKind};
use cutrickle_pipeline::ends::memory;
use cutrickle_pipeline::{Client, Ends, StreamOptions};
use serde_json::json;
use stream::{Clip, Seen, Stream, Untouched, Viewer, until_so};

/// The units of `seconds` seconds that `keep` wants, given the seconds from the first frame to them; second by second.
fn thinned(seconds: usize, keep: impl Fn(&AccessUnit, f64) -> bool) -> Vec<Vec<AccessUnit>> {
    let units = Clip { audio: true, ..Clip::of(30 * seconds) }.units();
    let first = units.iter().find(|unit| unit.codec.is_video()).unwrap().pts;
    let mut thinned = vec![Vec::new(); seconds];
    for unit in units {
        let since = unit.pts - first;
        if keep(&unit, since.seconds()) {
            let second = (since.get() / Ticks::PER_SECOND.get()).clamp(0, seconds as i64 - 1);
            thinned[second as usize].push(unit);
        }
    }
    thinned
}

/// Plays the seconds, each when the one before is through, and checks that all came out in its place.
async fn play(seconds: &[Vec<AccessUnit>]) -> Seen {
    let clip = Clip { audio: true, ..Clip::default() };
    let mut stream = Stream::start(&Untouched, json!({}), StreamOptions::default());
    stream.tracks(clip.tracks()).await;
    let mut packets = 0;
    for units in seconds {
        stream.feed(units.iter().cloned()).await;
        stream.settled().await;
        // A live stream does not wait for a viewer who is behind: no audio is held back, so all of it can be seen now.
        packets += units.iter().filter(|unit| unit.codec.is_audio()).count();
        stream.viewer.packets(packets).await;
    }
    let (session, seen) = stream.finish().await;
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status());
    for kind in [TrackKind::Audio, TrackKind::Video] {
        let sent = seconds.iter().flatten().filter(|unit| unit.codec.kind() == kind);
        let (sent, out): (Vec<_>, Vec<_>) =
            (sent.map(|unit| unit.pts).collect(), seen.of(kind).iter().map(|unit| unit.pts).collect());
        assert_eq!(out, sent, "no {kind} is lost, or moved");
    }
    seen.decoded();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_goes_on_in_segments_while_video_pauses_and_an_idr_ends_it() {
    let seconds = thinned(12, |unit, since| unit.codec.is_audio() || !(2.0..9.0).contains(&since));
    let seen = play(&seconds).await;
    assert!(seen.segments.len() >= 9, "{} segments", seen.segments.len());
    assert!(seen.segments.iter().any(|(tracks, _)| tracks.video.is_none()), "{:?}", seen.segments);
    let frames = seen.of(TrackKind::Video);
    let after = frames.windows(2).find(|pair| pair[1].pts - pair[0].pts > Ticks::PER_SECOND).unwrap();
    assert!(after[1].keyframe, "an IDR picture comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_frame_a_second_costs_no_audio() {
    let seconds = thinned(6, |unit, _| unit.codec.is_audio() || unit.keyframe);
    let seen = play(&seconds).await;
    let (first, _) = seen.segments.first().unwrap();
    assert!(first.video.is_some() && first.audio.is_some(), "{first:?}");
    assert_eq!(seen.frames(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_nobody_takes_do_not_hold_up_audio() {
    let clip = Clip { size: Size::new(320, 240), audio: true, ..Clip::of(120) };
    let ((feed, source), (sink, output)) = (memory::source(1), memory::sink(64));
    let ends = Ends::new().with_source(source).with_sink(sink);
    let mut client = Client::open(ends, StreamOptions::default()).unwrap();
    let frames = client.video_frames();
    let viewer = Viewer::new(output);
    feed.tracks(clip.tracks()).await.unwrap();
    for unit in clip.units() {
        feed.unit(unit).await.unwrap();
    }
    // Most of four seconds: it begins to go out when two have waited for a frame in vain.
    viewer.packets(100).await;
    drop(frames);
    until_so(|| client.status().metrics, |m| m.frames_dropped > 0).await;
    let tracks = client.status().input.unwrap().tracks;
    let told: Vec<_> = tracks.iter().map(|track| (track.width, track.sample_rate, track.taken)).collect();
    assert_eq!(told, [(Some(320), None, true), (None, Some(48_000), true)]);
    client.close().await;
}
