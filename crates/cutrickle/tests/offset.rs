//! How far audio is from its video once a processor of audio has had it: a clap and a flash at one moment,
//! each second, through trickle and a session, and judged by ffmpeg at the output.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../live/tests/live/mod.rs"]
mod live;

use cutrickle::processors::{Gain, MuteWhen, Pitch};
use cutrickle::{AudioFrame, FrameProcessor, Result, Stage, StreamContext, Ticks, VideoFrame};
use live::{Channels, Clip, ended, measured, rises};
use serde_json::{Value, json};

/// The most that audio and video may part, in seconds.
const MAX_OFFSET: f64 = 0.040;

/// White for three frames and a click of 5 ms, half a second into each second.
const CLAP: &[&str] = &[
    "-vf",
    "drawbox=c=black:t=fill,drawbox=c=white:t=fill:enable='between(mod(n,30),15,17)'",
    "-af",
    "aeval='if(between(mod(t,1),0.5,0.505),0.8*sin(2*PI*1000*t),0)':c=same",
];

/// By how much each click comes after its flash, in seconds.
fn offsets(ts: &[u8]) -> Vec<f64> {
    let flashes = rises(&measured(ts, "signalstats.YAVG"), 128.0, 0.5);
    let audio = measured(ts, "astats.Overall.Peak_level");
    assert_eq!(flashes.len(), 4, "flashes at {flashes:?}");
    let click = |flash: &f64| {
        let near = || audio.iter().filter(|(time, _)| (time - flash).abs() < 0.4);
        let loudest = near().map(|(_, level)| *level).fold(f64::NEG_INFINITY, f64::max);
        assert!(loudest > -30.0, "no click by the flash at {flash}: {loudest} dB at most");
        near().find(|(_, level)| *level > loudest - 12.0).unwrap().0 - flash
    };
    flashes.iter().map(click).collect()
}

/// The offsets that `processor` adds to those of the clip itself.
async fn added(processor: &impl Stage, params: Value) -> Option<Vec<f64>> {
    let segments = Clip { seconds: 4, more: CLAP, ..Clip::default() }.segments()?;
    let before = offsets(&segments.concat());
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(processor, params, live::every_frame()).await;
    let mut source = channels.source();
    source.send_all(&segments, &viewer, 30).await;
    source.settled(&session).await;
    source.end().await;
    ended(&session).await;
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status().last_error);
    let after = offsets(&viewer.end().await.bytes);
    eprintln!("{before:.3?} before, {after:.3?} after");
    Some(after.iter().zip(&before).map(|(after, before)| after - before).collect())
}

/// Processing moves audio by less than 40 ms.
async fn stays(processor: &impl Stage, params: Value) {
    let Some(added) = added(processor, params).await else { return };
    assert!(added.iter().all(|by| by.abs() < MAX_OFFSET), "{added:.3?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gain_keeps_audio_with_its_video() {
    stays(&Gain::default(), json!({"gain": -3})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitch_up_keeps_audio_with_its_video() {
    stays(&Pitch::default(), json!({"semitones": 5})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitch_down_keeps_audio_with_its_video() {
    stays(&Pitch::default(), json!({"semitones": -5})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_when_keeps_audio_with_its_video() {
    stays(&MuteWhen::default(), json!({"when": "quiet"})).await;
}

/// Stamps audio 60 ms late.
#[derive(Clone)]
struct Late;

impl FrameProcessor for Late {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        let late = frame.timestamp() + Ticks::from_millis(60);
        let late = AudioFrame::from_tensor(frame.tensor()?, frame.sample_rate(), late)?;
        Ok(vec![late])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_sees_audio_that_is_stamped_late() {
    let Some(added) = added(&Late, json!({})).await else { return };
    assert!(added.iter().all(|by| (by - 0.060).abs() < 0.020 && *by > MAX_OFFSET), "{added:.3?}");
}
