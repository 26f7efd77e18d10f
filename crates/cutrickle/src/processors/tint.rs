//! Tints frames with a colour.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::{self, PixelMap};

/// Tints frames with a colour: parameters `r`, `g`, `b` (0 to 255) and `strength` (0: nothing changes, 1:
/// only the colour is left).
#[derive(Debug, Clone, Default)]
pub struct Tint {
    params: Params,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "tint")]
struct Params {
    /// The colour's red.
    #[schemars(range(min = 0.0, max = 255.0))]
    r: f64,
    /// The colour's green.
    #[schemars(range(min = 0.0, max = 255.0))]
    g: f64,
    /// The colour's blue.
    #[schemars(range(min = 0.0, max = 255.0))]
    b: f64,
    /// How much of the colour is seen: 0 changes nothing, 1 leaves only the colour.
    #[schemars(range(min = 0.0, max = 1.0))]
    strength: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { r: 255.0, g: 96.0, b: 0.0, strength: 0.4 }
    }
}

impl Params {
    fn colour(&self) -> [u8; 3] {
        [self.r, self.g, self.b].map(|channel| channel.round() as u8)
    }
}

impl FrameProcessor for Tint {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let tinted = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(tinted)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

impl PixelMap for Tint {
    fn row(&self, from: &[u8], to: &mut [u8]) {
        // In 1/256, so that a pixel is a multiplication and an addition in 16 bits.
        let strength = (self.params.strength * 256.0).round() as u16;
        let keep = 256 - strength;
        let [r, g, b] = self.params.colour().map(|c| u16::from(c) * strength);
        for (from, to) in from.chunks_exact(3).zip(to.chunks_exact_mut(3)) {
            to[0] = ((u16::from(from[0]) * keep + r) >> 8) as u8;
            to[1] = ((u16::from(from[1]) * keep + g) >> 8) as u8;
            to[2] = ((u16::from(from[2]) * keep + b) >> 8) as u8;
        }
    }

    fn tensor(&self, rgb: &Tensor) -> candle_core::Result<Tensor> {
        let strength = (self.params.strength * 256.0).round() / 256.0;
        let colour =
            Tensor::new(&self.params.colour().map(|c| (f64::from(c) * strength) as f32), rgb.device())?;
        (rgb.to_dtype(DType::F32)? * (1.0 - strength))?.broadcast_add(&colour)?.to_dtype(DType::U8)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cutrickle_pipeline::Trial;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rows_and_tensor_operations_agree() {
        for ([r, g, b], strength) in
            [([255.0, 0.0, 17.0], 0.0), ([255.0, 255.0, 255.0], 1.0), ([1.0, 200.0, 99.0], 0.37)]
        {
            rows::tests::both_ways_agree(&Tint { params: Params { r, g, b, strength } }, 0);
        }
    }

    /// The colour of a black frame that was tinted.
    async fn black(tint: &mut Trial<Tint>) -> Vec<u8> {
        let black = Tensor::zeros((2, 2, 3), DType::U8, &Device::Cpu).unwrap();
        let tinted = tint.process_video(VideoFrame::try_from(black).unwrap()).await.unwrap().unwrap();
        tinted.tensor().unwrap().to_vec3::<u8>().unwrap()[0][0].clone()
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_named_and_changes_nothing() {
        let params = |value: Value| value.as_object().cloned().unwrap();
        let stream = StreamContext::new("test", params(json!({"strength": 1})), Device::Cpu);
        let mut tint = Trial::start(&Tint::default(), &stream).await.unwrap();
        for (wrong, refusal) in [
            (json!({"r": 1, "g": 256}), "`g` is 256: a number from 0 to 255 is wanted"),
            (json!({"r": 1, "strength": "much"}), r#"`strength` is "much": a number from 0 to 1 is wanted"#),
            (json!({"b": -1}), "`b` is -1: a number from 0 to 255 is wanted"),
        ] {
            let error = tint.update_params(&params(wrong)).await.unwrap_err();
            assert_eq!(error.to_string(), refusal);
            assert_eq!(black(&mut tint).await, [255, 96, 0]);
        }
        tint.update_params(&params(json!({"r": 9.6, "unknown": true}))).await.unwrap();
        assert_eq!(black(&mut tint).await, [10, 96, 0]);
    }
}
