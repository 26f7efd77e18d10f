//! Higher or lower, for as long as before.

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Params, Result};

use super::number;

mod splice;

use splice::Shifter;

/// Higher or lower, for as long as before: parameter `semitones`, -12 to 12. Voices sound larger or smaller with it:
/// formants move as well. At 0 sound is sent on as it came; else it is up to 25 ms late, without a change of its stamps.
#[derive(Debug, Clone, Default)]
pub struct Pitch {
    semitones: f64,
    shifter: Option<Shifter>,
}

impl FrameProcessor for Pitch {
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        if let Some(semitones) = number(params, "semitones", -12.0..=12.0)? {
            self.semitones = semitones;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        if self.semitones == 0.0 {
            self.shifter = None;
            return Ok(vec![frame]);
        }
        let samples = frame.tensor()?;
        let (channels, length) = samples.dims2()?;
        let rate = frame.sample_rate();
        let shifter = match &mut self.shifter {
            Some(shifter) if shifter.is_for(channels, rate) => shifter,
            other => other.insert(Shifter::new(channels, rate)),
        };
        let shifted = shifter.process(&samples.to_vec2::<f32>()?, 2f64.powf(self.semitones / 12.0));
        let shifted = Tensor::from_vec(shifted, (channels, length), &Device::Cpu)?;
        Ok(vec![frame.replace_tensor(shifted)?])
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["semitones"])]
    }
}
