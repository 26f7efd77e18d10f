//! Video in, data out: a line of JSON for each frame in which something moves. The stream has a
//! `subscribe_url` and a `data_url`, and no `publish_url`: nothing is encoded.
//!
//!     cargo run --release --example 10_motion -- --port 8000

use cutrickle::prelude::*;
use cutrickle::serde_json;

/// So much does a tile's colour change where something moves, of 255: noise and coding change it less.
const MOTION: f32 = 12.0;

/// The last frame, as the means of its tiles.
#[derive(Clone, Default)]
struct Motion(Option<Tensor>);

impl FrameProcessor for Motion {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        // In one pass from the decoder's own picture: (3, 15, 20), f32, 0 to 1, each tile the mean of its
        // pixels.
        let tiles = frame.to_model(&ModelInput::new(20, 15))?;
        if let Some(before) = self.0.replace(tiles.clone()) {
            let change = (tiles - before)?.abs()?.max_all()?.to_scalar::<f32>()? * 255.0;
            if change > MOTION {
                stream.emit(&serde_json::json!({ "pts": frame.pts(), "change": change }))?;
            }
        }
        Ok(None)
    }
}

fn main() -> Result<()> {
    cutrickle::run(Motion::default())
}
