//! Pictures without the noise of a sensor.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::{pixel_shuffle, pixel_unshuffle};

use crate::layers::{Stack, on_even_sides};

/// Takes noise away: a network says what of a picture is noise (after K. Zhang et al., "Beyond a Gaussian denoiser",
/// 2017), at half the size, where each 2x2 pixels are twelve channels (after their "FFDNet", 2018). It was trained
/// on Gaussian noise of a standard deviation of 5 to 40 of 255, without being told which. 25,452 parameters, 6,300
/// multiplications for each pixel.
#[derive(Debug, Clone)]
pub struct Denoise(Stack);

impl Denoise {
    /// The network with these weights: `conv1` to `conv4`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: VarBuilder<'_>) -> Result<Self> {
        Ok(Self(Stack::new(&[12, 32, 32, 32, 12], &weights)?))
    }
}

impl Module for Denoise {
    /// (batch, 3, height, width), 0 to 1, to the same shape.
    fn forward(&self, rgb: &Tensor) -> Result<Tensor> {
        on_even_sides(rgb, |rgb| {
            // The network learns sooner where its first guesses are not far too large.
            let noise = self.0.forward(&(pixel_unshuffle(rgb, 2)? - 0.5)?)?.affine(0.1, 0.0)?;
            rgb - pixel_shuffle(&noise, 2)?
        })
    }
}
