//! Without a worker: frames out of one trickle channel and into another.
//!
//!     cargo run --release --example 07_client -- http://127.0.0.1:3389/in http://127.0.0.1:3389/out

use cutrickle::prelude::*;

#[tokio::main]
async fn main() -> Result<()> {
    let mut urls = std::env::args().skip(1);
    let (Some(subscribe_url), Some(publish_url)) = (urls.next(), urls.next()) else {
        return Err("usage: 07_client SUBSCRIBE_URL PUBLISH_URL".into());
    };
    let mut client = TrickleClient::connect(&subscribe_url, &publish_url)?;
    let mut frames = client.video_frames();
    let mut count = 0;
    while let Some(frame) = frames.next().await {
        count += 1;
        // Upside down: the last row first.
        let rgb = frame.tensor()?;
        let rows = Tensor::from_iter((0..frame.height()).rev(), rgb.device())?;
        client.publish_video_frame(frame.replace_tensor(rgb.index_select(&rows, 0)?)?).await?;
    }
    client.close().await;
    println!("{count} frames");
    Ok(())
}
