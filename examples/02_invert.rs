//! Pixels as a tensor, changed by candle's operations.
//!
//!     cargo run --release --example 02_invert -- --port 8000

use cutrickle::prelude::*;

#[derive(Clone)]
struct Invert;

impl FrameProcessor for Invert {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let rgb = frame.tensor()?; // (H, W, 3), u8, 0-255, RGB
        let inverted = (255.0 - rgb.to_dtype(DType::F32)?)?.to_dtype(DType::U8)?;
        Ok(Some(frame.replace_tensor(inverted)?))
    }
}

fn main() -> Result<()> {
    cutrickle::run(Invert)
}
