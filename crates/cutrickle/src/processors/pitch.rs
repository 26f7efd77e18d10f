//! Makes audio higher or lower, for as long as before.

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod splice;

use splice::Shifter;

/// Makes audio higher or lower, for as long as before: parameter `semitones`, -12 to 12. Voices sound larger
/// or smaller with it: formants move as well. At 0 audio is sent on as it came; else it is up to 25 ms late,
/// without a change of its timestamps.
#[derive(Debug, Clone, Default)]
pub struct Pitch {
    params: Params,
    shifter: Option<Shifter>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "pitch")]
struct Params {
    /// How much higher, in semitones.
    #[schemars(range(min = -12.0, max = 12.0))]
    semitones: f64,
}

impl FrameProcessor for Pitch {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        if self.params.semitones == 0.0 {
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
        let shifted = shifter.process(&samples.to_vec2::<f32>()?, 2f64.powf(self.params.semitones / 12.0));
        let shifted = Tensor::from_vec(shifted, (channels, length), &Device::Cpu)?;
        Ok(vec![frame.replace_tensor(shifted)?])
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}
