//! Every colour its opposite.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Result};

use super::rows::{self, PixelMap};

/// Every colour its opposite: 255 minus each value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invert;

impl FrameProcessor for Invert {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let inverted = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(inverted)?))
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking([])]
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
