//! Measures a trickle server from the outside: how much CPU time it needs to deliver a byte, and how late the
//! byte arrives. This file reads the arguments and starts the publishers and subscribers, which have files of
//! their own.

mod answer;
mod connection;
mod histogram;
mod idle;
mod load;
mod process;
mod publish;
mod rate;
mod subscribe;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use connection::Target;
use rate::Rate;

/// Measures any implementation of a trickle server at a URL.
///
/// Publishers write segments at a given rate, and subscribers read and discard them. While a publisher writes
/// a segment it already opens the POST of the next one, and likewise a subscriber opens the next GET.
///
/// Server and client usually run on the same machine. The client reports how late it was itself, and smaller
/// latencies are not caused by the server.
#[derive(Debug, Parser)]
struct Args {
    /// The URL of the server. The names of the channels are appended to it.
    #[arg(value_parser = Target::parse)]
    url: Target,
    /// The number of channels, each of which has a publisher.
    #[arg(long, default_value_t = 1, value_name = "N")]
    channels: usize,
    /// The number of subscribers of each channel.
    #[arg(long, default_value_t = 10, value_name = "N")]
    subscribers: usize,
    /// The bits per second of each channel, such as 800k or 5M, with 30 writes per second and segments of 1
    /// s. With `max`, 64 KiB are written as often as the server accepts them, in segments of 1 MiB.
    #[arg(long, default_value = "5M", value_parser = Rate::parse)]
    rate: Rate,
    /// How many seconds to write for.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// The process id of the server, if it runs on this machine. Its CPU time and memory are measured (Linux
    /// only).
    #[arg(long)]
    pid: Option<u32>,
    /// Open this many channels and hold them open, instead of writing to channels.
    #[arg(long, value_name = "N")]
    idle_channels: Option<usize>,
    /// The number of readers that wait for their first byte on the idle channels.
    #[arg(long, default_value_t = 0, value_name = "N", requires = "idle_channels")]
    waiting_readers: usize,
    /// The number of threads of the client.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).and_then(|figures| print(&figures, args.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "trickle-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.threads))
        .enable_all()
        .build()?;
    let target: &'static Target = Box::leak(Box::new(args.url.clone()));
    runtime.block_on(async {
        match args.idle_channels {
            Some(channels) => {
                // This is spawned, because the threads of the runtime are faster than the one that blocks on
                // it.
                let held = idle::hold(target, channels, args.waiting_readers, args.pid);
                tokio::spawn(held).await.map_err(io::Error::other)?
            }
            None => {
                let plan = load::Plan {
                    channels: args.channels,
                    subscribers: args.subscribers,
                    rate: args.rate,
                    seconds: args.seconds,
                    pid: args.pid,
                };
                tokio::spawn(load::run(target, plan)).await.map_err(io::Error::other)?
            }
        }
    })
}

fn print(figures: &Value, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if as_json {
        return writeln!(out, "{figures}");
    }
    for (name, value) in figures.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Number(number) if number.is_f64() => {
                writeln!(out, "{name:26} {:.3}", number.as_f64().unwrap_or_default())?;
            }
            value => writeln!(out, "{name:26} {value}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
