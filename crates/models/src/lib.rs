//! candle models as frame processors, and three small ones with their weights.
//!
//! [`CandleModel`] makes a processor of any [`candle_nn::Module`]: it brings each picture to the model's input in one pass
//! and hands what the model made of it to a closure, which answers with a picture, with data, or with both.
//! [`SuperResolution`], [`Denoise`] and [`Style`] are networks; [`super_resolution`], [`denoise`] and [`style`] are
//! processors with the weights that this crate ships. How those were made is in `training/`.

#![deny(unsafe_code)]

mod candle_model;
mod denoise;
mod layers;
mod processors;
mod style;
mod super_resolution;
mod weights;

pub use candle_model::{CandleModel, Inference, as_picture};
pub use candle_nn;
pub use denoise::Denoise;
pub use processors::{denoise, style, super_resolution};
pub use style::Style;
pub use super_resolution::SuperResolution;
pub use weights::Weights;
