//! A worker whose processor takes as long as it is told, for measuring what a model slower than its input leads to.
//! Prints the URL of its REST API, and serves until it is ended.

use std::io::{self, Write};
use std::time::Duration;

use clap::Parser;
use cutrickle::Queueing;
use cutrickle::prelude::*;

/// Serves a processor that hands each frame on after a while.
#[derive(Debug, Parser)]
struct Args {
    /// Port of the REST API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How long a frame takes, in milliseconds; of several numbers each in turn, for as many frames as `--run` says.
    #[arg(long, value_name = "MILLISECONDS", value_delimiter = ',', default_value = "90")]
    takes: Vec<u64>,
    /// For how many frames a number holds before the next one's turn.
    #[arg(long, default_value_t = 10)]
    run: usize,
    /// Process every frame in order, in the place of the newest.
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
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let turn = self.seen / self.run.max(1) % self.takes.len().max(1);
        self.seen += 1;
        // On the stream's own thread, as a model computes.
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
