//! Video that pauses, that has one frame a second, or that nobody takes: audio goes on, whole and in sync.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::time::Duration;

use bytes::BytesMut;
use cutrickle_live::TrickleClient;
use cutrickle_media::{AccessUnit, AudioCodec, Ticks, TrackKind, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer};
use cutrickle_pipeline::StreamOptions;
use live::{Channels, Clip, Seen, Untouched, assert_accounted, ended, judge};
use serde_json::json;

/// Segments of one second with the units of `clip` whose time in seconds since the first frame `keep` wants.
fn thinned(clip: &Clip, keep: impl Fn(&AccessUnit, f64) -> bool) -> Option<Vec<Vec<u8>>> {
    let (mut demuxer, mut units) = (Demuxer::new(), Vec::new());
    for segment in clip.segments()? {
        let mut take = |event| {
            if let Event::Unit(unit) = event {
                units.push(unit)
            }
        };
        demuxer.push(&segment, &mut take);
        demuxer.end_segment(&mut take);
    }
    let first = units.iter().find(|unit| unit.codec.is_video()).unwrap().pts;
    let mut muxer = Muxer::new(MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Aac)).unwrap());
    let mut segments: Vec<BytesMut> = Vec::new();
    units.sort_by_key(|unit| unit.dts);
    for unit in units {
        let since = unit.pts - first;
        let index = (since.get() / Ticks::PER_SECOND.get()).max(0) as usize;
        while segments.len() <= index {
            let mut segment = BytesMut::new();
            muxer.begin_segment(&mut segment);
            segments.push(segment);
        }
        if keep(&unit, since.seconds()) {
            muxer.write_unit(&unit, &mut segments[index]).unwrap();
        }
    }
    Some(segments.iter().map(|segment| segment.to_vec()).collect())
}

/// Plays segments, each when the one before has come out, and checks that all of the audio came out in its place.
async fn play(segments: &[Vec<u8>]) -> Seen {
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Untouched, json!({}), StreamOptions::default()).await;
    let mut source = channels.source();
    for segment in segments {
        source.send(segment).await;
        source.settled(&session).await;
    }
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status());
    let seen = viewer.end().await;
    let (input, output) = (judge(&segments.concat()), judge(&seen.bytes));
    assert_eq!(output.complaints, "");
    assert_eq!(output.audio.len(), input.audio.len(), "no audio is lost");
    assert_eq!(output.video.len(), input.video.len());
    let moved = |output: &[f64], input: &[f64]| output.last().unwrap() - input.last().unwrap();
    let skew = moved(&output.video, &input.video) - moved(&output.audio, &input.audio);
    assert!(skew.abs() < 0.040, "audio moved by {skew} s");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_goes_on_in_segments_while_frames_pause_and_an_idr_ends_it() {
    let clip = Clip { seconds: 12, ..Clip::default() };
    let pause = |unit: &AccessUnit, since: f64| unit.codec.is_audio() || !(2.0..9.0).contains(&since);
    let Some(segments) = thinned(&clip, pause) else { return };
    let seen = play(&segments).await;
    assert!(seen.segments >= 9, "{} segments", seen.segments);
    let frames: Vec<_> = seen.units.iter().filter(|(codec, ..)| codec.is_video()).collect();
    let after = frames.windows(2).find(|pair| pair[1].1 - pair[0].1 > Ticks::PER_SECOND).unwrap();
    assert!(after[1].2, "an IDR picture comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_frame_a_second_costs_no_audio() {
    let clip = Clip { seconds: 6, ..Clip::default() };
    let slides = |unit: &AccessUnit, _| unit.codec.is_audio() || unit.keyframe;
    let Some(segments) = thinned(&clip, slides) else { return };
    let seen = play(&segments).await;
    let first = seen.programs.first().unwrap();
    assert!(first.video().is_some() && first.audio().is_some(), "{first:?}");
    assert_eq!(seen.times(TrackKind::Video).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_nobody_takes_do_not_hold_up_audio() {
    let Some(segments) = (Clip { seconds: 4, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    channels.open("out").await;
    let (input, output) = (channels.url("in"), channels.url("out"));
    let mut source = channels.source();
    let mut client = TrickleClient::connect(&input, &output).unwrap();
    let frames = client.video_frames();
    let viewer = live::Viewer::new(&output);
    let mut sent = 0;
    for segment in &segments {
        source.send(segment).await;
        sent += segment.len() as u64;
        let read = async {
            while client.status().metrics.input_bytes < sent {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(live::DEADLINE, read).await.expect("the client reads what comes");
    }
    // Most of four seconds: it begins to go out when two have waited for a frame in vain.
    viewer.packets(100).await;
    drop(frames);
    let status = client.status();
    assert!(status.metrics.frames_dropped > 0, "{status:?}");
    let tracks = status.input.unwrap().tracks;
    let told: Vec<_> = tracks.iter().map(|track| (track.width, track.sample_rate, track.taken)).collect();
    assert_eq!(told, [(Some(320), None, true), (None, Some(48_000), true)]);
    client.close().await;
}
