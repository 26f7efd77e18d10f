//! Makes audio louder or softer.

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes audio louder or softer: parameter `gain`, -60 to 24 dB. What is beyond full scale is clipped. At 0
/// dB audio is sent on as it came.
#[derive(Debug, Clone, Default)]
pub struct Gain {
    params: Params,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "gain")]
struct Params {
    /// How much louder, in dB.
    #[schemars(range(min = -60.0, max = 24.0))]
    gain: f64,
}

impl FrameProcessor for Gain {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        if self.params.gain == 0.0 {
            return Ok(vec![frame]);
        }
        let louder = (frame.tensor()? * 10f64.powf(self.params.gain / 20.0))?.clamp(-1f32, 1f32)?;
        Ok(vec![frame.replace_tensor(louder)?])
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use cutrickle_media::Timestamp;
    use cutrickle_pipeline::Trial;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn six_decibels_double_and_what_is_beyond_full_scale_is_clipped() {
        let samples = Tensor::new(&[[0.1f32, -0.25, 0.9]], &Device::Cpu).unwrap();
        let frame = AudioFrame::from_tensor(samples, 48_000, Timestamp::from_ticks(900)).unwrap();
        let params = json!({"gain": 6.0206}).as_object().cloned().unwrap();
        let stream = StreamContext::new("test", params, Device::Cpu);
        let mut gain = Trial::start(&Gain::default(), &stream).await.unwrap();
        let [louder] = <[_; 1]>::try_from(gain.process_audio(frame).await.unwrap()).unwrap();
        assert_eq!(louder.timestamp().ticks(), 900);
        let louder = louder.tensor().unwrap().to_vec2::<f32>().unwrap();
        for (louder, wanted) in louder[0].iter().zip([0.2, -0.5, 1.0]) {
            assert!((louder - wanted).abs() < 1e-4, "{louder}, not {wanted}");
        }
        for wrong in [json!({"gain": 25}), json!({"gain": "loud"})] {
            let error = gain.update_params(wrong.as_object().unwrap()).await.unwrap_err();
            assert!(error.to_string().contains("-60 to 24"), "{error}");
        }
    }
}
