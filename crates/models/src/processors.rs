//! The networks of this crate as processors, with the weights that it ships or those of a published file. They take
//! pictures of any size, in the type that is asked for: f32, f16 or bf16.

use std::path::Path;

use candle_core::{DType, Module};
use candle_nn::VarBuilder;
use cutrickle_frame::ModelInput;
use cutrickle_pipeline::{FrameProcessor, Result};

use crate::depth::DepthView;
use crate::segment::ClassView;
use crate::{
    Answer, CandleModel, Denoise, DepthAnything, SegFormer, Style, SuperResolution, Weights, as_picture,
};

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

/// Pictures of how near each pixel is, by [`DepthAnything`] with the weights at `path`: the nearest of a picture is white
/// and the farthest black, or red and blue where the parameter `colours` is true.
///
/// # Errors
/// A file that cannot be read or does not fit, in one line that names the file and the tensor.
pub fn depth(path: &Path, dtype: DType) -> Result<impl FrameProcessor + use<>> {
    let side = Weights::check(path, DepthAnything::new)?.side();
    Ok(published(path, u32::try_from(side)?, dtype, DepthAnything::new, DepthView::default()))
}

/// Pictures with a colour on all that is of one class, and as data how much of the picture each class has, by
/// [`SegFormer`] with the weights at `path`. Parameters: `strength` of the colours (0 to 1), and `every`, the pictures
/// from one line of data to the next.
///
/// # Errors
/// A file that cannot be read or does not fit, in one line that names the file and the tensor.
pub fn segment(path: &Path, dtype: DType) -> Result<impl FrameProcessor + use<>> {
    Weights::check(path, SegFormer::new)?;
    Ok(published(path, 512, dtype, SegFormer::new, ClassView::default()))
}

/// A network on pictures stretched to a square of `side` pixels, normalised by the mean and the standard deviation of
/// ImageNet's pictures.
fn published<M: Module + Send + Sync + 'static, A: Answer>(
    path: &Path,
    side: u32,
    dtype: DType,
    build: fn(VarBuilder<'_>) -> candle_core::Result<M>,
    answer: A,
) -> CandleModel<M, A> {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let input = ModelInput { dtype, mean, std, ..ModelInput::new(side, side) };
    CandleModel::load(Weights::File(path.into()), input, build, as_picture).answering(answer)
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
