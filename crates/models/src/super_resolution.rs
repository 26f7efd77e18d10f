//! Pictures twice as wide and twice as high.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::pixel_shuffle;

use crate::layers::{Bicubic, Stack, luma};

/// Doubles pictures: bicubic interpolation, and beside it a network on luma that works at the small size and says
/// what interpolation left out (after W. Shi et al., "Real-time single image and video super-resolution using an
/// efficient sub-pixel convolutional neural network", 2016). 8,164 parameters, the same number of multiplications for
/// each pixel of the input.
#[derive(Debug, Clone)]
pub struct SuperResolution {
    stack: Stack,
    bicubic: Bicubic,
}

impl SuperResolution {
    /// The network with these weights: `conv1` to `conv4`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: VarBuilder<'_>) -> Result<Self> {
        let bicubic = Bicubic::new(weights.dtype(), weights.device())?;
        Ok(Self { stack: Stack::new(&[1, 20, 20, 20, 4], &weights)?, bicubic })
    }

    /// Pictures of any channels doubled by interpolation alone: what the network is to be better than.
    ///
    /// # Errors
    /// Another shape than (batch, channels, height, width).
    pub fn bicubic(&self, pictures: &Tensor) -> Result<Tensor> {
        self.bicubic.forward(pictures)
    }

    /// What the network adds to interpolated luma of shape (batch, 1, height, width), 0 to 1.
    ///
    /// # Errors
    /// Another shape.
    pub fn detail(&self, luma: &Tensor) -> Result<Tensor> {
        // The last layer learns faster where its outputs are not tiny.
        pixel_shuffle(&self.stack.forward(&(luma - 0.5)?)?, 2)?.affine(0.1, 0.0)
    }
}

impl Module for SuperResolution {
    /// (batch, 3, height, width), 0 to 1, to (batch, 3, 2 height, 2 width).
    fn forward(&self, rgb: &Tensor) -> Result<Tensor> {
        self.bicubic(rgb)?.broadcast_add(&self.detail(&luma(rgb)?)?)
    }
}
