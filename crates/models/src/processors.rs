//! The networks of this crate as processors, with the weights that it ships or those of a published file.
//! They take frames of any size, and compute in the type that is asked for: f32, f16 or bf16.

use std::path::Path;

use candle_core::Module;
use candle_nn::VarBuilder;
use cutrickle_media::{Element, ModelInput};
use cutrickle_pipeline::{Result, Stage, TypedParams};
use serde_json::Value;

use crate::depth::{DepthParams, DepthView};
use crate::segment::{ClassParams, ClassView};
use crate::{CandleModel, Denoise, DepthAnything, SegFormer, Style, SuperResolution, Weights, as_picture};

/// Doubles the width and the height of frames.
pub fn super_resolution(element: Element) -> impl Stage {
    shipped(include_bytes!("../weights/super-resolution.safetensors"), element, SuperResolution::new)
}

/// Removes a sensor's noise from frames.
pub fn denoise(element: Element) -> impl Stage {
    shipped(include_bytes!("../weights/denoise.safetensors"), element, Denoise::new)
}

/// Makes frames look as if they were painted.
pub fn style(element: Element) -> impl Stage {
    shipped(include_bytes!("../weights/style.safetensors"), element, Style::new)
}

/// Shows how near each pixel is, by [`DepthAnything`] with the weights at `path`: the nearest of a frame is
/// white and the farthest black, or red and blue where the parameter `colours` is true.
///
/// # Errors
/// A file that cannot be read or does not fit, in one line that names the file and the tensor.
pub fn depth(path: &Path, element: Element) -> Result<impl Stage + use<>> {
    let side = u32::try_from(Weights::check(path, DepthAnything::new)?.side())?;
    Ok(published(path, side, element, DepthAnything::new).answering_with(DepthView))
}

/// The JSON schema of the parameters of [`depth`], which needs no weights.
pub fn depth_params_schema() -> Value {
    DepthParams::default().schema()
}

/// Lays a colour on all that is of one class, and sends as data how much of the frame each class has, by
/// [`SegFormer`] with the weights at `path`. Parameters: `strength` of the colours (0 to 1), and `every`, the
/// frames from one line of data to the next.
///
/// # Errors
/// A file that cannot be read or does not fit, in one line that names the file and the tensor.
pub fn segment(path: &Path, element: Element) -> Result<impl Stage + use<>> {
    Weights::check(path, SegFormer::new)?;
    Ok(published(path, 512, element, SegFormer::new).answering_with(ClassView::default()))
}

/// The JSON schema of the parameters of [`segment`], which needs no weights.
pub fn segment_params_schema() -> Value {
    ClassParams::default().schema()
}

/// A network on frames stretched to a square of `side` pixels, normalised by the mean and the standard
/// deviation of ImageNet's pictures.
fn published<M: Module + Send + Sync + 'static>(
    path: &Path,
    side: u32,
    element: Element,
    build: fn(VarBuilder<'_>) -> candle_core::Result<M>,
) -> CandleModel<M> {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let input = ModelInput { element, mean, std, ..ModelInput::new(side, side) };
    CandleModel::load(Weights::File(path.into()), input, build)
}

fn shipped<M: Module + Send + Sync + 'static>(
    weights: &'static [u8],
    element: Element,
    build: fn(VarBuilder<'_>) -> candle_core::Result<M>,
) -> impl Stage {
    let input = ModelInput { element, ..ModelInput::default() };
    // Small: a start on the CPU is not to last for seconds.
    CandleModel::load(Weights::Bytes(weights), input, build).warmed_up_at(320, 240).answering(as_picture)
}
