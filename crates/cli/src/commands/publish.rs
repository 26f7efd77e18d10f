//! `cutrickle publish`: publishes a file as a live stream.

use std::path::{Path, PathBuf};

use cutrickle_trickle::ClientConfig;
use cutrickle_worker::{Failure, end_signal};

use crate::progress;
use crate::source::{Input, Pace, Sent, Source};

/// The arguments of `cutrickle publish`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// MPEG-TS or MP4 file, or `-` to read a transport stream from standard input.
    file: PathBuf,
    /// URL of the channel to publish to, such as `http://127.0.0.1:3389/name`.
    #[arg(long)]
    url: String,
    /// Start over at the end of the file, with continuous timestamps.
    #[arg(long = "loop")]
    looped: bool,
    /// Publish as fast as the server accepts it instead of in real time.
    #[arg(long)]
    fast: bool,
    /// Accept any TLS certificate of the trickle server.
    #[arg(long)]
    insecure_skip_verify: bool,
}

/// Runs to the end of the file, or until a signal ends it.
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
        () = end_signal() => Ok(()),
        published = source.run(input, args.looped, |sent| {
            let Sent { segments, bytes, cut } = sent;
            line.set_message(format!("{segments} segments, {} kB, {cut} cut short", bytes / 1000));
        }) => published,
    };
    line.finish_and_clear();
    let closed = source.close().await;
    published?;
    closed.map(|_| ())
}
