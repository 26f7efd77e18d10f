//! Mutes audio while nobody speaks, or while somebody does.

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mutes audio while nobody speaks, or while somebody does: parameters `when` (`quiet`, the default, or
/// `active`) and `threshold` (-80 to 0 dB of full scale, -45 unless it is set).
///
/// A voice is heard from the moment that the audio's mean power is above the threshold, until it has been 6
/// dB below that for 300 ms. A change fades over the frame that it comes with.
#[derive(Debug, Clone)]
pub struct MuteWhen {
    params: Params,
    voice: Voice,
    /// How loud the last frame ended: 0 or 1.
    level: f32,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mute-when")]
struct Params {
    /// When audio is muted: while nobody speaks (`quiet`) or while somebody does (`active`).
    when: When,
    /// The power from which a voice is heard, in dB of full scale.
    #[schemars(range(min = -80.0, max = 0.0))]
    threshold: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum When {
    Quiet,
    Active,
}

/// Whether there is a voice.
#[derive(Debug, Clone, Default)]
struct Voice {
    active: bool,
    /// Seconds since the power was last high enough for one.
    quiet_for: f64,
}

/// So much further down does the power have to go for a voice to end, in dB.
const HYSTERESIS: f64 = 6.0;
/// And for so long, in seconds: pauses between words are shorter.
const HANG: f64 = 0.3;

impl Default for Params {
    fn default() -> Self {
        Self { when: When::Quiet, threshold: -45.0 }
    }
}

impl Default for MuteWhen {
    fn default() -> Self {
        Self { params: Params::default(), voice: Voice::default(), level: 1.0 }
    }
}

impl Voice {
    /// Audio of a mean power of `decibels` for so many seconds.
    fn hear(&mut self, decibels: f64, seconds: f64, threshold: f64) {
        let enough = if self.active { threshold - HYSTERESIS } else { threshold };
        if decibels > enough {
            (self.active, self.quiet_for) = (true, 0.0);
        } else {
            self.quiet_for += seconds;
            self.active &= self.quiet_for < HANG;
        }
    }
}

impl FrameProcessor for MuteWhen {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        let samples = frame.tensor()?;
        let length = samples.dim(1)?;
        if length == 0 {
            return Ok(vec![frame]);
        }
        let power = f64::from(samples.sqr()?.mean_all()?.to_scalar::<f32>()?);
        self.voice.hear(
            10.0 * power.max(1e-12).log10(),
            length as f64 / f64::from(frame.sample_rate()),
            self.params.threshold,
        );
        let wanted = if self.voice.active == (self.params.when == When::Active) { 0.0 } else { 1.0 };
        let before = std::mem::replace(&mut self.level, wanted);
        if (before, wanted) == (1.0, 1.0) {
            return Ok(vec![frame]);
        }
        let step = (wanted - before) / length as f32;
        let fade: Vec<f32> = (1..=length).map(|n| before + step * n as f32).collect();
        let faded = samples.broadcast_mul(&Tensor::from_vec(fade, (1, length), &Device::Cpu)?)?;
        Ok(vec![frame.replace_tensor(faded)?])
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_media::Timestamp;
    use cutrickle_pipeline::Trial;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_voice_begins_at_the_threshold_and_ends_a_while_below_it() {
        let mut voice = Voice::default();
        voice.hear(-46.0, 0.02, -45.0);
        assert!(!voice.active);
        voice.hear(-44.0, 0.02, -45.0);
        assert!(voice.active);
        for _ in 0..100 {
            voice.hear(-50.0, 0.02, -45.0);
            assert!(voice.active, "not 6 dB below");
        }
        for n in 1..=15 {
            voice.hear(-60.0, 0.02, -45.0);
            assert_eq!(voice.active, n < 15, "{n} frames of silence");
        }
    }

    async fn started(when: &str) -> Trial<MuteWhen> {
        let params = json!({ "when": when }).as_object().cloned().unwrap();
        let stream = StreamContext::new("test", params, Device::Cpu);
        Trial::start(&MuteWhen::default(), &stream).await.unwrap()
    }

    /// The loudest sample of each of these frames of 20 ms, constant at these levels, as they go out.
    async fn peaks(mute: &mut Trial<MuteWhen>, levels: &[f32]) -> Vec<f32> {
        let mut peaks = Vec::new();
        for level in levels {
            let samples = Tensor::full(*level, (2, 960), &Device::Cpu).unwrap();
            let frame = AudioFrame::from_tensor(samples, 48_000, Timestamp::ZERO).unwrap();
            for out in mute.process_audio(frame).await.unwrap() {
                let out = out.tensor().unwrap();
                assert_eq!(out.dims(), [2, 960]);
                peaks.push(out.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap());
            }
        }
        peaks
    }

    #[tokio::test]
    async fn the_quiet_is_muted_or_the_voice_by_choice_with_a_fade_between() {
        let (mut quiet, mut active) = (started("quiet").await, started("active").await);
        let levels = [0.001, 0.001, 0.5, 0.5];
        let seen = peaks(&mut quiet, &levels).await;
        assert!(seen[0] < 0.001 && seen[1] == 0.0, "faded, then muted: {seen:?}");
        assert_eq!(seen[2..], [0.5, 0.5], "faded in, and heard");
        let seen = peaks(&mut active, &levels).await;
        assert_eq!(seen[..2], [0.001, 0.001]);
        assert!(seen[2] < 0.5 && seen[3] == 0.0, "{seen:?}");
    }

    #[tokio::test]
    async fn wrong_parameters_are_refused_in_the_words_of_what_is_wanted() {
        let mut mute = started("quiet").await;
        for (wrong, refusal) in [
            (json!({"when": "loud"}), r#"`when` is "loud": `quiet` or `active` is wanted"#),
            (json!({"threshold": 1}), "`threshold` is 1: a number from -80 to 0 is wanted"),
        ] {
            let error = mute.update_params(wrong.as_object().unwrap()).await.unwrap_err();
            assert_eq!(error.to_string(), refusal);
        }
    }
}
