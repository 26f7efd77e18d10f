//! Parameters: at a stream's start, and while it runs.
//!
//!     cargo run --release --example 03_params -- --port 8000
//!     curl http://127.0.0.1:8000/api/stream/schema
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"brightness": 0.5}'

use cutrickle::prelude::*;

/// What a caller may set. Anything else, and a value out of its range, is refused with a 400 that says what
/// is wanted.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "cutrickle::serde")]
#[schemars(crate = "cutrickle::schemars")]
struct Settings {
    /// 1 leaves frames as they are, 0 makes them black.
    #[schemars(range(min = 0.0, max = 2.0))]
    brightness: f64,
}

/// Each stream has a clone of its own, and so settings of its own.
#[derive(Clone)]
struct Brightness {
    settings: Settings,
}

impl FrameProcessor for Brightness {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let rgb = frame.tensor()?.to_dtype(DType::F32)?;
        // Floats are 0 to 1; what is beyond is clamped.
        Ok(Some(frame.replace_tensor((rgb * (self.settings.brightness / 255.0))?)?))
    }

    /// What was sent is written here between two frames.
    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.settings)
    }
}

fn main() -> Result<()> {
    cutrickle::run(Brightness { settings: Settings { brightness: 1.0 } })
}
