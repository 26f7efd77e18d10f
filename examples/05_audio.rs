//! Sound: samples as a tensor, changed and encoded anew.
//!
//!     cargo run --release --example 05_audio -- 8000
//!
//! A frame that is returned untouched is sent on as the packet it came in, without being decoded.

use cutrickle::prelude::*;

/// Turns the volume down.
#[derive(Clone)]
struct Quieter;

impl FrameProcessor for Quieter {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        let samples = frame.tensor()?; // (channels, samples), f32, -1.0 to 1.0
        let quieter = (samples * 0.25)?;
        Ok(vec![frame.replace_tensor(quieter)?])
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server = StreamServer::builder(Quieter).host("127.0.0.1").port(port).build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
