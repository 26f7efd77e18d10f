//! candle models as frame processors: three small ones with their weights, and networks for published
//! weights.
//!
//! A [`CandleModel`] is any [`candle_nn::Module`], loaded once, and what it takes: each frame is brought to
//! that in one pass. Each stream has an answer of its own, a closure or an [`Answer`], that makes a frame,
//! data, or both of the model's output. [`SuperResolution`], [`Denoise`] and [`Style`] are networks;
//! [`super_resolution`], [`denoise`] and [`style`] are processors with the weights that this crate ships. How
//! those were made is in `training/`. [`DepthAnything`] and [`SegFormer`] are networks whose weights others
//! published; [`depth`] and [`segment`] are processors for such files.

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
pub use processors::{
    denoise, depth, depth_params_schema, segment, segment_params_schema, style, super_resolution,
};
pub use segformer::SegFormer;
pub use style::Style;
pub use super_resolution::SuperResolution;
pub use weights::Weights;
