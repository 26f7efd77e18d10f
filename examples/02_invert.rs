//! Pixels as a tensor, changed by candle's operations.
//!
//!     cargo run --release --example 02_invert -- 8000

use cutrickle::prelude::*;

#[derive(Clone)]
struct Invert;

impl FrameProcessor for Invert {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let rgb = frame.tensor()?; // (H, W, 3), u8, 0-255, RGB
        let inverted = (255.0 - rgb.to_dtype(DType::F32)?)?.to_dtype(DType::U8)?;
        Ok(Some(frame.replace_tensor(inverted)?))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server = StreamServer::builder(Invert).host("127.0.0.1").port(port).build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
