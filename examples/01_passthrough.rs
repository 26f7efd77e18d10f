//! The smallest worker: frames go out as they came.
//!
//!     cargo run --release --example 01_passthrough -- --port 8000
//!
//! Then start a stream as the README shows. `--help` lists the other arguments. A frame that is returned
//! untouched is never converted to RGB.

use cutrickle::prelude::*;

#[derive(Clone)]
struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

fn main() -> Result<()> {
    cutrickle::run(Passthrough)
}
