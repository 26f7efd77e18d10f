//! The networks of this crate as processors, with the weights that it ships. They take pictures of any size, in the type
//! that is asked for: f32, f16 or bf16.

use candle_core::{DType, Module};
use candle_nn::VarBuilder;
use cutrickle_frame::ModelInput;
use cutrickle_pipeline::FrameProcessor;

use crate::{CandleModel, Denoise, Style, SuperResolution, Weights, as_picture};

/// Pictures twice as wide and twice as high.
pub fn super_resolution(dtype: DType) -> impl FrameProcessor {
    shipped(include_bytes!("../weights/super-resolution.safetensors"), dtype, SuperResolution::new)
}

/// Pictures without a sensor's noise.
pub fn denoise(dtype: DType) -> impl FrameProcessor {
    shipped(include_bytes!("../weights/denoise.safetensors"), dtype, Denoise::new)
}

/// Pictures as if painted.
pub fn style(dtype: DType) -> impl FrameProcessor {
    shipped(include_bytes!("../weights/style.safetensors"), dtype, Style::new)
}

fn shipped<M: Module + Send + Sync + 'static>(
    weights: &'static [u8],
    dtype: DType,
    build: fn(VarBuilder<'_>) -> candle_core::Result<M>,
) -> impl FrameProcessor {
    let input = ModelInput { dtype, ..ModelInput::default() };
    // Small: a start on the CPU is not to last for seconds.
    CandleModel::load(Weights::Bytes(weights), input, build, as_picture).warmed_up_at(320, 240)
}
