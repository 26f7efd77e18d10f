//! Pictures as if painted.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::{pixel_shuffle, pixel_unshuffle};

use crate::layers::{Stack, on_even_sides};

/// Paints pictures over: a network at half the size that was trained to keep what is where, and to have the strokes
/// and colours of a painted sheet (after J. Johnson et al., "Perceptual losses for real-time style transfer and
/// super-resolution", 2016, with fixed filters in the place of a trained network's). 15,212 parameters, 3,800
/// multiplications for each pixel.
#[derive(Debug, Clone)]
pub struct Style(Stack);

impl Style {
    /// The network with these weights: `conv1` to `conv5`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: VarBuilder<'_>) -> Result<Self> {
        Ok(Self(Stack::new(&[12, 20, 20, 20, 20, 12], &weights)?))
    }
}

impl Module for Style {
    /// (batch, 3, height, width), 0 to 1, to the same shape.
    fn forward(&self, rgb: &Tensor) -> Result<Tensor> {
        on_even_sides(rgb, |rgb| {
            rgb + pixel_shuffle(&self.0.forward(&(pixel_unshuffle(rgb, 2)? - 0.5)?)?, 2)?
        })
    }
}
