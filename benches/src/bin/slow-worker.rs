//! A worker whose processor takes a given time for each frame, to measure what happens if a model is slower
//! than its input. It prints the URL of its REST API and serves until it is stopped.

use std::io::{self, Write};
use std::time::Duration;

use clap::Parser;
use cutrickle::Queueing;
use cutrickle::prelude::*;

/// Serves a processor that returns each frame after a while.
#[derive(Debug, Parser)]
struct Args {
    /// The port of the REST API; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many milliseconds a frame takes. Several numbers are used in turn, each for as many frames as
    /// `--run` says.
    #[arg(long, value_name = "MILLISECONDS", value_delimiter = ',', default_value = "90")]
    takes: Vec<u64>,
    /// How many frames take the same time before the next number is used.
    #[arg(long, default_value_t = 10)]
    run: usize,
    /// Process every frame in order, instead of only the newest one.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone)]
struct Slow {
    takes: Vec<Duration>,
    run: usize,
    seen: usize,
}

impl FrameProcessor for Slow {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let turn = self.seen / self.run.max(1) % self.takes.len().max(1);
        self.seen += 1;
        // Blocks the thread of the stream, as a model does.
        std::thread::sleep(self.takes.get(turn).copied().unwrap_or_default());
        Ok(Some(frame))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let takes = args.takes.iter().copied().map(Duration::from_millis).collect();
    let server = StreamServer::builder(Slow { takes, run: args.run, seen: 0 })
        .host("127.0.0.1")
        .port(args.port)
        .with_options(|options| options.queueing = if args.all { Queueing::All } else { Queueing::Latest })
        .build()?
        .bind()
        .await?;
    writeln!(io::stdout(), "http://{}", server.local_addr())?;
    server.run(std::future::pending()).await;
    Ok(())
}
