//! Louder or softer.

use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Params, Result};

use super::number;

/// Louder or softer: parameter `gain`, -60 to 24 dB. What is beyond full scale is clipped. At 0 dB sound is sent on as it
/// came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gain {
    decibels: f64,
}

impl FrameProcessor for Gain {
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        if let Some(decibels) = number(params, "gain", -60.0..=24.0)? {
            self.decibels = decibels;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        if self.decibels == 0.0 {
            return Ok(vec![frame]);
        }
        let louder = (frame.tensor()? * 10f64.powf(self.decibels / 20.0))?.clamp(-1f32, 1f32)?;
        Ok(vec![frame.replace_tensor(louder)?])
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["gain"])]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn six_decibels_double_and_what_is_beyond_full_scale_is_clipped() {
        let samples = Tensor::new(&[[0.1f32, -0.25, 0.9]], &Device::Cpu).unwrap();
        let frame = AudioFrame::from_tensor(samples, 48_000, 900).unwrap();
        let mut gain = Gain::default();
        gain.update_params(json!({"gain": 6.0206}).as_object().unwrap()).await.unwrap();
        let [louder] = <[_; 1]>::try_from(gain.process_audio(frame).await.unwrap()).unwrap();
        assert_eq!(louder.timestamp(), 900);
        let louder = louder.tensor().unwrap().to_vec2::<f32>().unwrap();
        for (louder, wanted) in louder[0].iter().zip([0.2, -0.5, 1.0]) {
            assert!((louder - wanted).abs() < 1e-4, "{louder}, not {wanted}");
        }
        for wrong in [json!({"gain": 25}), json!({"gain": "loud"})] {
            let error = gain.update_params(wrong.as_object().unwrap()).await.unwrap_err();
            assert!(error.to_string().contains("-60 to 24"));
        }
    }
}
