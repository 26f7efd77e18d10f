//! Silence while nobody speaks, or while somebody does.

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Params, Result};

use super::number;

/// Silence while nobody speaks, or while somebody does: parameters `when` (`quiet`, the default, or `active`) and
/// `threshold` (-80 to 0 dB of full scale, -45 unless it is set).
///
/// A voice is heard from the moment that the sound's mean power is above the threshold, until it has been 6 dB below that
/// for 300 ms. A change fades over the frame that it comes with.
#[derive(Debug, Clone)]
pub struct MuteWhen {
    when: When,
    threshold: f64,
    voice: Voice,
    /// How loud the last frame ended: 0 or 1.
    level: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Default for MuteWhen {
    fn default() -> Self {
        Self { when: When::Quiet, threshold: -45.0, voice: Voice::default(), level: 1.0 }
    }
}

impl Voice {
    /// Sound of a mean power of `decibels` for so many seconds.
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
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let when = match params.get("when").map(|when| (when, when.as_str())) {
            None => self.when,
            Some((_, Some("quiet"))) => When::Quiet,
            Some((_, Some("active"))) => When::Active,
            Some((other, _)) => {
                return Err(format!("`when` is {other}: `quiet` or `active` is wanted").into());
            }
        };
        if let Some(threshold) = number(params, "threshold", -80.0..=0.0)? {
            self.threshold = threshold;
        }
        self.when = when;
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        let samples = frame.tensor()?;
        let length = samples.dim(1)?;
        if length == 0 {
            return Ok(vec![frame]);
        }
        let power = f64::from(samples.sqr()?.mean_all()?.to_scalar::<f32>()?);
        self.voice.hear(
            10.0 * power.max(1e-12).log10(),
            length as f64 / f64::from(frame.sample_rate()),
            self.threshold,
        );
        let wanted = if self.voice.active == (self.when == When::Active) { 0.0 } else { 1.0 };
        let before = std::mem::replace(&mut self.level, wanted);
        if (before, wanted) == (1.0, 1.0) {
            return Ok(vec![frame]);
        }
        let step = (wanted - before) / length as f32;
        let fade: Vec<f32> = (1..=length).map(|n| before + step * n as f32).collect();
        let faded = samples.broadcast_mul(&Tensor::from_vec(fade, (1, length), &Device::Cpu)?)?;
        Ok(vec![frame.replace_tensor(faded)?])
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["when", "threshold"])]
    }
}

#[cfg(test)]
mod tests {
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

    /// The loudest sample of each of these frames of 20 ms, constant at these levels, as they go out.
    async fn peaks(mute: &mut MuteWhen, levels: &[f32]) -> Vec<f32> {
        let mut peaks = Vec::new();
        for level in levels {
            let samples = Tensor::full(*level, (2, 960), &Device::Cpu).unwrap();
            let frame = AudioFrame::from_tensor(samples, 48_000, 0).unwrap();
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
        let (mut quiet, mut active) =
            (MuteWhen::default(), MuteWhen { when: When::Active, ..MuteWhen::default() });
        let levels = [0.001, 0.001, 0.5, 0.5];
        let seen = peaks(&mut quiet, &levels).await;
        assert!(seen[0] < 0.001 && seen[1] == 0.0, "faded, then muted: {seen:?}");
        assert_eq!(seen[2..], [0.5, 0.5], "faded in, and heard");
        let seen = peaks(&mut active, &levels).await;
        assert_eq!(seen[..2], [0.001, 0.001]);
        assert!(seen[2] < 0.5 && seen[3] == 0.0, "{seen:?}");
    }
}
