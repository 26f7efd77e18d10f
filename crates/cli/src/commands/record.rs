//! `cutrickle record`: writes the segments of a channel to a file, one after the other.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutrickle_trickle::{ClientConfig, SegmentReader, Start, Subscriber};
use cutrickle_worker::{Failure, end_signal};
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::progress;

/// The arguments of `cutrickle record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// URL of the channel to record, such as `http://127.0.0.1:3389/name`.
    #[arg(long)]
    url: String,
    /// File to write, or `-` to write to standard output.
    #[arg(long)]
    output: PathBuf,
    /// Stop after this many seconds. By default, recording stops when the channel ends.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// How many seconds to wait for a channel that does not exist yet.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// Accept any TLS certificate of the trickle server.
    #[arg(long)]
    insecure_skip_verify: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?;
    if duration.is_zero() { Err("more than 0 is wanted".into()) } else { Ok(duration) }
}

/// If nothing has come within this time, the command says what it is waiting for.
const SOON: Duration = Duration::from_secs(1);

/// Runs until the channel or the duration ends, or a signal ends it.
pub async fn run(args: Args) -> Result<(), Failure> {
    let config = ClientConfig {
        insecure_skip_verify: args.insecure_skip_verify,
        missing_grace: Duration::from_secs(args.wait.into()),
        ..ClientConfig::default()
    };
    let subscriber = Subscriber::new(&args.url, Start::Current, config)?;
    let name = args.output.display().to_string();
    let mut output: Box<dyn AsyncWrite + Send + Unpin> = if args.output == Path::new("-") {
        Box::new(tokio::io::stdout())
    } else {
        Box::new(File::create(&args.output).await.map_err(|e| Failure::because(&name, e))?)
    };
    let line = progress::line("recording");
    let over = async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let recorded = tokio::select! {
        () = end_signal() => Ok(()),
        () = over => Ok(()),
        recorded = copy(subscriber, &mut output, &line, args.wait) => recorded,
    };
    line.finish_and_clear();
    let written = output.flush().await;
    match recorded.and(written.map_err(Stopped::Output)) {
        // The reader of standard output has seen enough.
        Err(Stopped::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stopped::Output(e)) => Err(Failure::because(name, e)),
        Err(Stopped::Input(e)) if e.is_not_found() => {
            Err(Failure::because(e, format!("waited {} s for it", args.wait)))
        }
        Err(Stopped::Input(e)) => Err(e.into()),
        Ok(()) => Ok(()),
    }
}

enum Stopped {
    Input(cutrickle_trickle::Error),
    Output(io::Error),
}

async fn copy(
    mut subscriber: Subscriber,
    output: &mut (dyn AsyncWrite + Send + Unpin),
    line: &ProgressBar,
    wait: u32,
) -> Result<(), Stopped> {
    let mut bytes = 0_u64;
    line.set_message("waiting for a segment");
    let mut next = first(&mut subscriber, line, wait).await;
    while let Some(mut segment) = next.map_err(Stopped::Input)? {
        while let Some(chunk) = segment.chunk().await {
            output.write_all(&chunk).await.map_err(Stopped::Output)?;
            bytes = bytes.saturating_add(chunk.len() as u64);
        }
        // A player at the other end of a pipe should get each segment at once.
        output.flush().await.map_err(Stopped::Output)?;
        if !segment.is_complete() {
            tracing::warn!("segment {} broke off", segment.seq());
        }
        line.set_message(format!(
            "segment {}, {} kB, {} skipped",
            segment.seq(),
            bytes / 1000,
            subscriber.skipped()
        ));
        next = subscriber.next().await;
    }
    Ok(())
}

/// Waits for the first segment, and says so on standard error if it does not come soon.
async fn first(
    subscriber: &mut Subscriber,
    line: &ProgressBar,
    wait: u32,
) -> Result<Option<SegmentReader>, cutrickle_trickle::Error> {
    let mut first = std::pin::pin!(subscriber.next());
    if let Ok(first) = tokio::time::timeout(SOON, first.as_mut()).await {
        return first;
    }
    // It does not matter whether anybody reads it.
    let _ = line.suspend(|| {
        writeln!(
            io::stderr(),
            "nothing on the channel yet: waiting, {wait} s at most if it does not exist (--wait)"
        )
    });
    first.await
}
