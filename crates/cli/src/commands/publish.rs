//! `cutrickle publish`: a file as a live stream.

use std::path::{Path, PathBuf};

use cutrickle::trickle::ClientConfig;

use crate::failure::Failure;
use crate::source::{Input, Pace, Source};
use crate::{progress, signals};

/// Arguments of `cutrickle publish`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// MPEG-TS or MP4 file; `-` reads a transport stream from standard input.
    file: PathBuf,
    /// The channel to publish to: `http://127.0.0.1:3389/name`.
    #[arg(long)]
    url: String,
    /// Start over at the file's end, on one continuous clock.
    #[arg(long = "loop")]
    looped: bool,
    /// As fast as the server takes it, not in real time.
    #[arg(long)]
    fast: bool,
    /// Accept any TLS certificate of the trickle server.
    #[arg(long)]
    insecure_skip_verify: bool,
}

/// Runs to the file's end, or until a signal ends it.
pub async fn run(args: Args) -> Result<(), Failure> {
    if args.looped && args.file == Path::new("-") {
        return Err(Failure::usage("--loop: standard input cannot start over"));
    }
    let input = Input::open(&args.file).await?;
    let pace = if args.fast { Pace::AsRead } else { Pace::RealTime };
    let config = ClientConfig { insecure_skip_verify: args.insecure_skip_verify, ..ClientConfig::default() };
    let mut source = Source::connect(&args.url, pace, config).await?;
    let line = progress::line("publishing");
    let published = tokio::select! {
        () = signals::end() => Ok(()),
        published = source.run(input, args.looped, |sent| {
            line.set_message(format!("{} segments, {} kB, {} cut short", sent.segments, sent.bytes / 1000, sent.cut));
        }) => published,
    };
    line.finish_and_clear();
    let closed = source.close().await;
    published?;
    closed.map(|_| ())
}
