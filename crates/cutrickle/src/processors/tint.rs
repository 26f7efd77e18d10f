//! Towards a colour.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Params, Result};

use super::number;
use super::rows::{self, PixelMap};

/// Towards a colour: parameters `r`, `g`, `b` (0 to 255) and `strength` (0: nothing changes, 1: only the colour is left).
#[derive(Debug, Clone, Copy)]
pub struct Tint {
    colour: [u8; 3],
    strength: f64,
}

impl Default for Tint {
    fn default() -> Self {
        Self { colour: [255, 96, 0], strength: 0.4 }
    }
}

impl FrameProcessor for Tint {
    /// All of them or none: a wrong one leaves the others as they were.
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let mut next = *self;
        for (channel, name) in next.colour.iter_mut().zip(["r", "g", "b"]) {
            if let Some(value) = number(params, name, 0.0..=255.0)? {
                *channel = value.round() as u8;
            }
        }
        if let Some(value) = number(params, "strength", 0.0..=1.0)? {
            next.strength = value;
        }
        *self = next;
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let tinted = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(tinted)?))
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["r", "g", "b", "strength"])]
    }
}

impl PixelMap for Tint {
    fn row(&self, from: &[u8], to: &mut [u8]) {
        // In 1/256, so that a pixel is a multiplication and an addition in 16 bits.
        let strength = (self.strength * 256.0).round() as u16;
        let keep = 256 - strength;
        let [r, g, b] = self.colour.map(|c| u16::from(c) * strength);
        for (from, to) in from.chunks_exact(3).zip(to.chunks_exact_mut(3)) {
            to[0] = ((u16::from(from[0]) * keep + r) >> 8) as u8;
            to[1] = ((u16::from(from[1]) * keep + g) >> 8) as u8;
            to[2] = ((u16::from(from[2]) * keep + b) >> 8) as u8;
        }
    }

    fn tensor(&self, rgb: &Tensor) -> candle_core::Result<Tensor> {
        let strength = (self.strength * 256.0).round() / 256.0;
        let colour = Tensor::new(&self.colour.map(|c| (f64::from(c) * strength) as f32), rgb.device())?;
        (rgb.to_dtype(DType::F32)? * (1.0 - strength))?.broadcast_add(&colour)?.to_dtype(DType::U8)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: serde_json::Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn rows_and_tensor_operations_agree() {
        for (colour, strength) in [([255, 0, 17], 0.0), ([255, 255, 255], 1.0), ([1, 200, 99], 0.37)] {
            rows::tests::both_ways_agree(&Tint { colour, strength }, 0);
        }
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_named_and_changes_nothing() {
        let mut tint = Tint::default();
        for wrong in [json!({"r": 1, "g": 256}), json!({"r": 1, "strength": "much"}), json!({"b": -1})] {
            let error = tint.update_params(&params(wrong)).await.unwrap_err();
            assert!(error.to_string().contains("is wanted"));
            assert_eq!(tint.colour, Tint::default().colour);
        }
        tint.update_params(&params(json!({"r": 10, "strength": 1, "unknown": true}))).await.unwrap();
        assert_eq!((tint.colour, tint.strength), ([10, 96, 0], 1.0));
    }
}
