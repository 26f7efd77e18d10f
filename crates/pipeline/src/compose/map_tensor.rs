//! Processors that map pixels to pixels.

use candle_core::Tensor;
use cutrickle_frame::VideoFrame;

use crate::{FrameProcessor, NoParams, Result, StreamContext, TypedParams};

/// A processor made from a function of pixels: see [`map_tensor`].
#[derive(Debug, Clone)]
pub struct MapTensor<F>(F, NoParams);

/// Creates a processor that replaces each frame's pixels with the result of `map`. Input is (H, W, 3), u8,
/// 0-255, RGB, on the stream's device; output is (H, W, 1|3|4), u8 (0-255) or float (0-1), of any size. Audio
/// passes through, and there are no parameters.
pub fn map_tensor<F>(map: F) -> MapTensor<F>
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    MapTensor(map, NoParams {})
}

impl<F> FrameProcessor for MapTensor<F>
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let pixels = (self.0)(frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(pixels)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.1)
    }
}
