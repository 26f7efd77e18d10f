//! A processor made of processors: a choice by parameter, parts with names, a model that all streams share, and a limit
//! to how long a picture waits for it.
//!
//!     cargo run --release --example 06_compose -- 8000
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"mode": "mirror", "fade": {"strength": 0.5}}'
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"show_loading": true}'

use std::time::Duration;

use cutrickle::compose::Part;
use cutrickle::prelude::*;

/// Towards black.
#[derive(Clone)]
struct Fade(f64);

impl FrameProcessor for Fade {
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        if let Some(value) = params.get("strength") {
            self.0 = value.as_f64().filter(|s| (0.0..=1.0).contains(s)).ok_or("`strength` is 0 to 1")?;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        if self.0 == 0.0 {
            return Ok(Some(frame));
        }
        let rgb = (frame.tensor()?.to_dtype(DType::F32)? * ((1.0 - self.0) / 255.0))?;
        Ok(Some(frame.replace_tensor(rgb)?))
    }

    /// What it takes: so a flat `{"strength": 0.5}` finds it as well.
    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["strength"])]
    }
}

/// Stands for a model: (N, H, W, 3) to (N, H, W, 3), each pixel the mean of a square around it.
fn soften(pictures: Tensor) -> candle_core::Result<Tensor> {
    let (height, width) = (pictures.dim(1)?, pictures.dim(2)?);
    let planes = (pictures.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?;
    planes.avg_pool2d(4)?.upsample_nearest2d(height, width)?.permute((0, 2, 3, 1))?.contiguous()
}

fn composition() -> impl FrameProcessor {
    let look = switch("mode")
        .case("plain", from_fn(|frame| Ok(Some(frame))))
        .case("mirror", map_tensor(|rgb| rgb.flip(&[1])))
        .case(
            "grey",
            every(2, map_tensor(|rgb| rgb.to_dtype(DType::F32)?.mean_keepdim(2)? / 255.0)).repeating(),
        );
    // Up to eight streams' pictures in one call, none of which waits for the others for more than 5 ms.
    let model = Batched::new(soften, 8, Duration::from_millis(5));
    // Late pictures go out as they came.
    let model = with_timeout(model, Duration::from_millis(200));
    with_overlay(look.then(Fade(0.0).named("fade")).then(model))
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server = StreamServer::builder(composition()).host("127.0.0.1").port(port).capacity(8);
    let server = server.build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
