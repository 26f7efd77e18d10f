//! The smallest worker: pictures go out as they came.
//!
//!     cargo run --release --example 01_passthrough -- 8000
//!
//! Then start a stream as the README shows. A frame that is returned untouched is never converted to RGB.

use cutrickle::prelude::*;

#[derive(Clone)]
struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server = StreamServer::builder(Passthrough).host("127.0.0.1").port(port).build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
