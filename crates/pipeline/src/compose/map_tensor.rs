//! Pixels to pixels.

use candle_core::Tensor;
use cutrickle_frame::VideoFrame;

use super::Part;
use crate::{FrameProcessor, Result};

/// A function of pixels as a processor: [`map_tensor`].
#[derive(Debug, Clone)]
pub struct MapTensor<F>(F);

/// A processor that replaces each picture's pixels by what `map` makes of them: (H, W, 3), u8, 0-255, RGB, on the stream's
/// device, to (H, W, 1|3|4), u8 (0-255) or float (0-1), of any size. Sound passes; it takes no parameters.
pub fn map_tensor<F>(map: F) -> MapTensor<F>
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    MapTensor(map)
}

impl<F> FrameProcessor for MapTensor<F>
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let pixels = (self.0)(frame.tensor()?)?;
        Ok(Some(frame.replace_tensor(pixels)?))
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking([])]
    }
}
