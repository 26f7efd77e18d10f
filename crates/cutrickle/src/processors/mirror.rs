//! Exchanges left and right.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};

use super::no_params;
use super::rows::{self, PixelMap};

/// Exchanges left and right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mirror;

impl FrameProcessor for Mirror {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let mirrored = rows::apply(self, &frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(mirrored)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        no_params()
    }
}

impl PixelMap for Mirror {
    fn row(&self, from: &[u8], to: &mut [u8]) {
        for (from, to) in from.chunks_exact(3).rev().zip(to.chunks_exact_mut(3)) {
            to.copy_from_slice(from);
        }
    }

    fn tensor(&self, rgb: &Tensor) -> candle_core::Result<Tensor> {
        let width = rgb.dim(1)? as u32;
        let columns = Tensor::arange(0, width, rgb.device())?;
        let reversed = (f64::from(width.saturating_sub(1)) - columns.to_dtype(DType::F64)?)?;
        rgb.index_select(&reversed.to_dtype(DType::U32)?, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_tensor_operations_agree() {
        rows::tests::both_ways_agree(&Mirror, 0);
    }
}
