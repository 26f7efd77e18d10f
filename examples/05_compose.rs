//! A processor made of processors: a choice by parameter, parts with names, a model that all streams share,
//! and a limit to how long a frame waits for it.
//!
//!     cargo run --release --example 05_compose -- --port 8000 --capacity 8
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"mode": "mirror", "fade": {"strength": 0.5}}'
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"show_loading": true}'

use std::time::Duration;

use cutrickle::candle_core;
use cutrickle::prelude::*;

/// Fades frames towards black.
#[derive(Clone, Default)]
struct Fade {
    params: FadeParams,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "cutrickle::serde")]
#[schemars(crate = "cutrickle::schemars")]
struct FadeParams {
    /// 0 changes nothing, 1 is black.
    #[schemars(range(min = 0.0, max = 1.0))]
    strength: f64,
}

impl FrameProcessor for Fade {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        if self.params.strength == 0.0 {
            return Ok(Some(frame));
        }
        let rgb = (frame.tensor()?.to_dtype(DType::F32)? * ((1.0 - self.params.strength) / 255.0))?;
        Ok(Some(frame.replace_tensor(rgb)?))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

/// Stands for a model: (N, H, W, 3) to (N, H, W, 3), each pixel the mean of a square around it.
fn soften(frames: Tensor) -> candle_core::Result<Tensor> {
    let (height, width) = (frames.dim(1)?, frames.dim(2)?);
    let planes = (frames.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?;
    planes.avg_pool2d(4)?.upsample_nearest2d(height, width)?.permute((0, 2, 3, 1))?.contiguous()
}

fn composition() -> impl Stage {
    let look = switch("mode")
        .case("plain", from_fn(|frame| Ok(Some(frame))))
        .case("mirror", map_tensor(|rgb| rgb.flip(&[1])))
        .case(
            "grey",
            every(2, map_tensor(|rgb| rgb.to_dtype(DType::F32)?.mean_keepdim(2)? / 255.0)).repeating(),
        );
    // Up to eight streams' frames in one call, none of which waits for the others for more than 5 ms.
    let model = Batched::new(soften, 8, Duration::from_millis(5));
    // Late frames go out as they came.
    let model = with_timeout(model, Duration::from_millis(200));
    with_overlay(look.then(Fade::default().named("fade")).then(model))
}

fn main() -> Result<()> {
    cutrickle::run(composition())
}
