//! Pictures that pause, come once a second, or that nobody takes: sound goes on, whole and in sync.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::time::Duration;

use bytes::BytesMut;
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event, MuxProgram, Muxer, TICKS_PER_SECOND, TrackKind};
use cutrickle_pipeline::{StreamOptions, TrickleClient};
use live::{Clip, Seen, Stage, Untouched, assert_accounted, ended, judge};
use serde_json::json;

/// Segments of one second with the units of `clip` whose time in seconds since the first picture `keep` wants.
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
    let mut muxer = Muxer::new(MuxProgram::new(Some(Codec::H264), Some(Codec::Aac)).unwrap());
    let mut segments: Vec<BytesMut> = Vec::new();
    units.sort_by_key(|unit| unit.dts);
    for unit in units {
        let since = unit.pts - first;
        let index = (since / TICKS_PER_SECOND).max(0) as usize;
        while segments.len() <= index {
            let mut segment = BytesMut::new();
            muxer.begin_segment(&mut segment);
            segments.push(segment);
        }
        if keep(&unit, since as f64 / TICKS_PER_SECOND as f64) {
            let AccessUnit { codec, pts, dts, keyframe, data, .. } = unit;
            muxer.write_unit(codec.kind(), pts, dts, keyframe, &data, &mut segments[index]).unwrap();
        }
    }
    Some(segments.iter().map(|segment| segment.to_vec()).collect())
}

fn times(seen: &Seen, kind: TrackKind) -> Vec<i64> {
    seen.units.iter().filter(|(codec, ..)| codec.kind() == kind).map(|(_, pts, _)| *pts).collect()
}

/// Plays segments, each when the one before has come out, and checks that all of the sound came out in its place.
async fn play(segments: &[Vec<u8>]) -> Seen {
    let stage = Stage::new().await;
    let (session, viewer) = stage.start(&Untouched, json!({}), StreamOptions::default()).await;
    let mut source = stage.source();
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
    assert_eq!(output.audio.len(), input.audio.len(), "no sound is lost");
    assert_eq!(output.video.len(), input.video.len());
    let moved = |output: &[f64], input: &[f64]| output.last().unwrap() - input.last().unwrap();
    let skew = moved(&output.video, &input.video) - moved(&output.audio, &input.audio);
    assert!(skew.abs() < 0.040, "sound moved by {skew} s");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_goes_on_in_segments_while_pictures_pause_and_an_idr_ends_it() {
    let clip = Clip { seconds: 12, ..Clip::default() };
    let pause = |unit: &AccessUnit, since: f64| unit.codec.is_audio() || !(2.0..9.0).contains(&since);
    let Some(segments) = thinned(&clip, pause) else { return };
    let seen = play(&segments).await;
    assert!(seen.segments >= 9, "{} segments", seen.segments);
    let pictures: Vec<_> = seen.units.iter().filter(|(codec, ..)| codec.is_video()).collect();
    let after = pictures.windows(2).find(|pair| pair[1].1 - pair[0].1 > TICKS_PER_SECOND).unwrap();
    assert!(after[1].2, "an IDR picture comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_picture_a_second_costs_no_sound() {
    let clip = Clip { seconds: 6, ..Clip::default() };
    let slides = |unit: &AccessUnit, _| unit.codec.is_audio() || unit.keyframe;
    let Some(segments) = thinned(&clip, slides) else { return };
    let seen = play(&segments).await;
    let first = seen.programs.first().unwrap();
    assert!(first.video().is_some() && first.audio().is_some(), "{first:?}");
    assert_eq!(times(&seen, TrackKind::Video).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_nobody_takes_do_not_hold_up_sound() {
    let Some(segments) = (Clip { seconds: 4, ..Clip::default() }).segments() else { return };
    let stage = Stage::new().await;
    stage.open("out").await;
    let (input, output) = (stage.url("in"), stage.url("out"));
    let mut source = stage.source();
    let mut client = TrickleClient::connect(&input, &output).unwrap();
    let pictures = client.video_frames();
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
    // Most of four seconds: it begins to go out when two have waited for a picture in vain.
    viewer.sounds(100).await;
    drop(pictures);
    let status = client.status();
    assert!(status.metrics.frames_dropped > 0, "{status:?}");
    let tracks = status.input.unwrap().tracks;
    let told: Vec<_> = tracks.iter().map(|track| (track.width, track.sample_rate, track.taken)).collect();
    assert_eq!(told, [(Some(320), None, true), (None, Some(48_000), true)]);
    client.close().await;
}
