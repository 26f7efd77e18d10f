//! candle models as frame processors: three small ones with their weights, and networks for published weights.
//!
//! [`CandleModel`] makes a processor of any [`candle_nn::Module`]: it brings each picture to the model's input in one pass
//! and hands what the model made of it to a closure, which answers with a picture, with data, or with both.
//! [`SuperResolution`], [`Denoise`] and [`Style`] are networks; [`super_resolution`], [`denoise`] and [`style`] are
//! processors with the weights that this crate ships. How those were made is in `training/`. [`DepthAnything`] and
//! [`SegFormer`] are networks whose weights others published; [`depth`] and [`segment`] are processors for such files.

#![deny(unsafe_code)]

mod answer;
mod candle_model;
mod denoise;
mod depth;
mod depth_anything;
mod dino;
mod layers;
mod processors;
mod segformer;
mod segment;
mod style;
mod super_resolution;
mod weights;

pub use answer::Answer;
pub use candle_model::{CandleModel, Inference, as_picture};
pub use candle_nn;
pub use denoise::Denoise;
pub use depth_anything::DepthAnything;
pub use processors::{denoise, depth, segment, style, super_resolution};
pub use segformer::SegFormer;
pub use style::Style;
pub use super_resolution::SuperResolution;
pub use weights::Weights;
