//! Audio: samples as a tensor, changed and encoded anew.
//!
//!     cargo run --release --example 04_audio -- --port 8000
//!
//! A frame that is returned untouched is sent on as the packet it came in, without being decoded.

use cutrickle::prelude::*;

/// Turns the volume down.
#[derive(Clone)]
struct Quieter;

impl FrameProcessor for Quieter {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
        let samples = frame.tensor()?; // (channels, samples), f32, -1.0 to 1.0
        let quieter = (samples * 0.25)?;
        Ok(vec![frame.replace_tensor(quieter)?])
    }
}

fn main() -> Result<()> {
    cutrickle::run(Quieter)
}
