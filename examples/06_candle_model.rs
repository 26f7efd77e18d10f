//! A network with weights from a file, on every frame: it answers with a frame of twice the size, and with
//! data.
//!
//!     cargo run --release --example 06_candle_model -- --port 8000

use cutrickle::models::SuperResolution;
use cutrickle::prelude::candle_nn::VarBuilder;
use cutrickle::prelude::*;
use cutrickle::{candle_core, serde_json};

/// Any `candle_nn::Module` will do. This one ships with the project.
fn build(weights: VarBuilder<'_>) -> candle_core::Result<SuperResolution> {
    SuperResolution::new(weights)
}

/// What the network made of a frame, as a frame and as a line of data.
fn answer(made: Inference<'_>) -> Result<Option<VideoFrame>> {
    // (1, 3, 2 H, 2 W): how much do neighbours differ?
    let (right, left) = (made.output.narrow(3, 1, 1)?, made.output.narrow(3, 0, 1)?);
    let detail = (right - left)?.abs()?.mean_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
    made.stream.emit(&serde_json::json!({ "pts": made.frame.pts(), "detail": detail }))?;
    as_picture(made)
}

fn main() -> Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/weights/super-resolution.safetensors");
    // Loaded once, for all streams. Takes frames at their own size, as (1, 3, H, W), f32, 0 to 1.
    let model = CandleModel::load(Weights::File(file.into()), ModelInput::default(), build);
    cutrickle::run(model.warmed_up_at(96, 64).answering(answer))
}
