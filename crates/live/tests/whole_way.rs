//! Streams that go right, from segment to segment, judged by ffprobe.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Codec;
use cutrickle_pipeline::{
    AudioOutput, FrameProcessor, Result, Stage, StreamContext, StreamOptions, StreamState,
};
use live::{
    Channels, Clip, Replaced, Untouched, assert_accounted, ended, every_frame, judge, taken, until, with,
};
use serde_json::json;

/// Plays `clip` through `stage` and returns what came out.
async fn play(
    clip: &Clip,
    stage: &impl Stage,
    params: serde_json::Value,
    options: StreamOptions,
    per_segment: usize,
) -> Option<live::Seen> {
    let segments = clip.segments()?;
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(stage, params, options).await;
    let mut source = channels.source();
    source.send_all(&segments, &viewer, per_segment).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    let status = session.status();
    assert_eq!(status.state, StreamState::Offline, "{status:?}");
    assert_eq!(status.metrics.error_count, 0, "{status:?}");
    Some(viewer.end().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_out_and_untouched_audio_is_the_same_packets() {
    let clip = Clip::default();
    let Some(segments) = clip.segments() else { return };
    let Some(seen) = play(&clip, &Untouched, json!({}), every_frame(), 30).await else { return };
    assert_eq!(seen.frames, 90);
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.codecs, ["h264", "aac"]);
    assert_eq!((verdict.size, verdict.video.len()), (Some((320, 240)), 90));
    assert_eq!(verdict.complaints, "");
    let input = judge(&segments.concat());
    assert_eq!(verdict.audio.len(), input.audio.len());
    let offset = |v: &live::Verdict| v.audio[0] - v.video[0];
    assert!((offset(&verdict) - offset(&input)).abs() < 0.001, "audio keeps its distance from the frames");
    assert_eq!(seen.segments, 3, "one a second");
    let starts: Vec<_> = seen.units.iter().filter(|(codec, _, key)| codec.is_video() && *key).collect();
    assert_eq!(starts.len(), 3, "an IDR picture at each segment's start and nowhere else");
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_pixels_come_out() {
    let clip = Clip { audio: None, seconds: 2, ..Clip::default() };
    let Some(seen) = play(&clip, &Replaced, json!({}), every_frame(), 30).await else { return };
    let verdict = judge(&seen.bytes);
    assert_eq!((verdict.codecs.as_slice(), verdict.video.len()), (&["h264".to_owned()][..], 60));
    assert_eq!(verdict.complaints, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn aac_becomes_opus_where_the_output_asks_for_it() {
    let clip = Clip { seconds: 2, ..Clip::default() };
    let options = with(every_frame(), |options| options.audio = AudioOutput::Opus);
    let Some(seen) = play(&clip, &Untouched, json!({}), options, 30).await else { return };
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.codecs, ["h264", "opus"]);
    assert_eq!(verdict.complaints, "");
    let input = judge(&clip.segments().unwrap().concat());
    let offset = |v: &live::Verdict| v.audio[0] - v.video[0];
    let moved = offset(&verdict) - offset(&input);
    assert!(moved.abs() < 0.040, "audio moved by {moved} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_stays_opus() {
    let clip = Clip { seconds: 2, audio: Some("opus"), ..Clip::default() };
    let Some(seen) = play(&clip, &Untouched, json!({}), every_frame(), 30).await else { return };
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.codecs, ["h264", "opus"]);
    assert_eq!(verdict.complaints, "");
}

/// Halves the volume.
#[derive(Clone)]
struct Quieter;

impl FrameProcessor for Quieter {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        let half = (frame.tensor()? * 0.5)?;
        Ok(vec![frame.replace_tensor(half)?])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_audio_is_named_in_the_first_pmt() {
    let clip = Clip { seconds: 2, audio: Some("opus"), ..Clip::default() };
    let Some(seen) = play(&clip, &Quieter, json!({}), every_frame(), 30).await else { return };
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.codecs, ["h264", "opus"]);
    assert_eq!(verdict.complaints, "");
    assert_eq!(seen.programs.len(), 1, "the tracks never change");
}

#[tokio::test(flavor = "multi_thread")]
async fn width_and_height_scale_the_output() {
    let clip = Clip { audio: None, seconds: 1, ..Clip::default() };
    let params = json!({"width": "128", "height": 128});
    let Some(seen) = play(&clip, &Untouched, params, every_frame(), 30).await else { return };
    assert_eq!(judge(&seen.bytes).size, Some((128, 128)));
}

#[tokio::test(flavor = "multi_thread")]
async fn target_fps_thins_frames_out_evenly() {
    let clip = Clip { audio: None, seconds: 2, ..Clip::default() };
    let options = with(every_frame(), |options| options.target_fps = Some(10));
    let Some(seen) = play(&clip, &Untouched, json!({}), options, 10).await else { return };
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.video.len(), 20);
    for pair in verdict.video.windows(2) {
        assert!((pair[1] - pair[0] - 0.1).abs() < 0.001, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_were_reordered_come_out_in_order() {
    let more = &["-tune", "film", "-preset", "medium", "-bf", "2", "-b_strategy", "0", "-flags", "+cgop"];
    let clip = Clip { audio: None, seconds: 2, more, ..Clip::default() };
    let Some(segments) = clip.segments() else { return };
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Untouched, json!({}), every_frame()).await;
    let mut source = channels.source();
    for segment in &segments {
        source.send(segment).await;
        // The decoder may hold two back to put them in order.
        until(&session, |m| m.frames_in >= 30 && m.frames_in - m.frames_out - m.frames_dropped <= 5).await;
    }
    taken(&session, 60).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    let seen = viewer.end().await;
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.complaints, "");
    assert_eq!(verdict.video.len() as u64, session.metrics().frames_out);
    assert!(verdict.video.len() >= 58, "{} of 60 frames", verdict.video.len());
    assert!(seen.units.iter().all(|(codec, ..)| *codec == Codec::H264));
}
