//! Inverts the colours.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};

use super::no_params;
use super::rows::{self, PixelMap};

/// Inverts the colours: each value becomes 255 minus itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invert;

impl FrameProcessor for Invert {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let inverted = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(inverted)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        no_params()
    }
}

impl PixelMap for Invert {
    fn row(&self, from: &[u8], to: &mut [u8]) {
        for (from, to) in from.iter().zip(to) {
            *to = 255 - from;
        }
    }

    fn tensor(&self, rgb: &Tensor) -> candle_core::Result<Tensor> {
        (255.0 - rgb.to_dtype(DType::F32)?)?.to_dtype(DType::U8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_tensor_operations_agree() {
        rows::tests::both_ways_agree(&Invert, 0);
    }
}
