//! Measures a trickle server from outside: what a byte delivered costs it, and how late it arrives.
//! Reads the arguments and runs publishers and subscribers; what these do is in their own files.

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

/// Measures a trickle server, of any implementation, at a URL.
///
/// Publishers write segments at a rate, subscribers read them and throw them away. Publishers open the
/// POST of the next segment while they write one, subscribers the GET of the next while they read one.
///
/// Server and client share the machine, as a rule. The client says how late it was itself: latencies below
/// that are its own.
#[derive(Debug, Parser)]
struct Args {
    /// Where the server is; channel names are appended to it.
    #[arg(value_parser = Target::parse)]
    url: Target,
    /// Channels, each with a publisher.
    #[arg(long, default_value_t = 1, value_name = "N")]
    channels: usize,
    /// Subscribers of each channel.
    #[arg(long, default_value_t = 10, value_name = "N")]
    subscribers: usize,
    /// Bits a second of each channel, such as 800k or 5M: 30 writes a second, segments of 1 s. Or max:
    /// writes of 64 KiB as fast as the server takes them, segments of 1 MiB.
    #[arg(long, default_value = "5M", value_parser = Rate::parse)]
    rate: Rate,
    /// How long to write.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// The server's process, on this machine: its CPU time and memory are measured (Linux).
    #[arg(long)]
    pid: Option<u32>,
    /// Instead of writing, open this many channels and hold them.
    #[arg(long, value_name = "N")]
    idle_channels: Option<usize>,
    /// With --idle-channels: readers that wait for their first byte.
    #[arg(long, default_value_t = 0, value_name = "N", requires = "idle_channels")]
    waiting_readers: usize,
    /// The client's threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// Print one line of JSON.
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
                // Spawned: the runtime's threads are faster at this than the one that blocks on it.
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
