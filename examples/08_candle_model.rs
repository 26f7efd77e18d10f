//! A network with weights from a file, on every picture: it answers with a picture of twice the size, and with data.
//!
//!     cargo run --release --example 08_candle_model -- 8000

use cutrickle::models::{SuperResolution, candle_nn::VarBuilder};
use cutrickle::prelude::*;

/// Any `candle_nn::Module` will do. This one ships with the project.
fn build(weights: VarBuilder<'_>) -> candle_core::Result<SuperResolution> {
    SuperResolution::new(weights)
}

/// What the network made of a picture, as a picture and as a line of data.
fn answer(made: Inference<'_>) -> Result<Option<VideoFrame>> {
    // (1, 3, 2 H, 2 W): how much do neighbours differ?
    let (right, left) = (made.output.narrow(3, 1, 1)?, made.output.narrow(3, 0, 1)?);
    let detail = (right - left)?.abs()?.mean_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
    made.stream.emit(&serde_json::json!({ "pts": made.frame.pts(), "detail": detail }))?;
    as_picture(made)
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/weights/super-resolution.safetensors");
    // Frames at their own size, as (1, 3, H, W), f32, 0 to 1.
    let model = CandleModel::load(Weights::File(file.into()), ModelInput::default(), build, answer);
    let server = StreamServer::builder(model.warmed_up_at(96, 64)).host("127.0.0.1").port(port);
    let server = server.build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
