//! Removes all colour.

use candle_core::{D, DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};

use super::no_params;
use super::rows::{self, PixelMap};

/// Removes all colour: each pixel becomes its luma by ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B).
#[derive(Debug, Clone, Copy, Default)]
pub struct Grayscale;

impl FrameProcessor for Grayscale {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let grey = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(grey)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        no_params()
    }
}

impl PixelMap for Grayscale {
    fn row(&self, from: &[u8], to: &mut [u8]) {
        for (from, to) in from.chunks_exact(3).zip(to.chunks_exact_mut(3)) {
            // The weights in 1/256; they add up to 256.
            let luma = u32::from(from[0]) * 77 + u32::from(from[1]) * 150 + u32::from(from[2]) * 29;
            to.fill(((luma + 128) >> 8) as u8);
        }
    }

    fn tensor(&self, rgb: &Tensor) -> candle_core::Result<Tensor> {
        let weights = Tensor::new(&[77f32 / 256.0, 150.0 / 256.0, 29.0 / 256.0], rgb.device())?;
        let luma = rgb.to_dtype(DType::F32)?.broadcast_mul(&weights)?.sum_keepdim(D::Minus1)?;
        (luma + 0.5)?.to_dtype(DType::U8)?.repeat((1, 1, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_tensor_operations_agree() {
        rows::tests::both_ways_agree(&Grayscale, 0);
    }
}
