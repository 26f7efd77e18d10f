//! Parameters: at a stream's start, and while it runs.
//!
//!     cargo run --release --example 03_params -- 8000
//!     curl http://127.0.0.1:8000/api/stream/params --json '{"brightness": 0.5}'

use cutrickle::prelude::*;

/// Each stream has a clone of its own, and so a brightness of its own.
#[derive(Clone)]
struct Brightness(f64);

impl FrameProcessor for Brightness {
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        if let Some(value) = params.get("brightness") {
            // An error refuses the parameters: the caller gets it with a 400, and the stream goes on.
            self.0 = value.as_f64().filter(|b| (0.0..=2.0).contains(b)).ok_or("`brightness` is 0 to 2")?;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let rgb = frame.tensor()?.to_dtype(DType::F32)?;
        // Floats are 0 to 1; what is beyond is clamped.
        Ok(Some(frame.replace_tensor((rgb * (self.0 / 255.0))?)?))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let worker = StreamServer::builder(Brightness(1.0)).host("127.0.0.1").port(port).build()?.bind().await?;
    println!("listening on http://{}", worker.local_addr());
    worker.run(std::future::pending()).await;
    Ok(())
}
