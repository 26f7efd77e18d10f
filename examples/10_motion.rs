//! Pictures in, data out: a line of JSON for each picture in which something moves. The stream has a `subscribe_url` and a
//! `data_url`, and no `publish_url`: nothing is encoded.
//!
//!     cargo run --release --example 10_motion -- 8000

use cutrickle::prelude::*;

/// So much does a tile's colour change where something moves, of 255: noise and coding change it less.
const MOTION: f32 = 12.0;

#[derive(Clone, Default)]
struct Motion {
    stream: Option<StreamContext>,
    /// The last picture, as the means of its tiles.
    before: Option<Tensor>,
}

impl FrameProcessor for Motion {
    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.stream = Some(stream.clone());
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        // In one pass from the decoder's own picture: (3, 15, 20), f32, 0 to 1, each tile the mean of its pixels.
        let tiles = frame.to_model(&ModelInput::new(20, 15))?;
        if let Some(before) = self.before.replace(tiles.clone()) {
            let change = (tiles - before)?.abs()?.max_all()?.to_scalar::<f32>()? * 255.0;
            if let Some(stream) = self.stream.as_ref().filter(|_| change > MOTION) {
                stream.emit(&serde_json::json!({ "pts": frame.pts(), "change": change }))?;
            }
        }
        Ok(None)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server =
        StreamServer::builder(Motion::default()).host("127.0.0.1").port(port).build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
