//! The command `cutrickle`: a live worker, a trickle server, a source, a recorder, a probe, a demonstration of
//! all of them together, and a start for a worker of one's own.
//!
//! Each subcommand is a file in `commands`; this one parses arguments, sets up the log, and turns a failure into
//! one line and an exit code: 2 for a wrong argument, 1 for everything else.

mod commands;
mod device;
mod failure;
mod listen;
mod mp4;
mod orchestration;
mod output;
mod processors;
mod progress;
mod remux;
mod signals;
mod source;
mod streams;
mod templates;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cutrickle_error::chain;
use tracing_subscriber::EnvFilter;

use crate::commands::{demo, doctor, list, new, probe, publish, record, serve, trickle_server};
use crate::failure::Failure;

/// Real-time AI video: one frame processor between two live streams.
#[derive(Debug, Parser)]
#[command(name = "cutrickle", version, after_help = backends_help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, as in RUST_LOG: `info`, `debug`, `cutrickle_pipeline=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything at work: a source, a trickle server, a worker and a page to watch, in one process.
    Demo(demo::Args),
    /// Run a worker with a built-in processor behind the REST API.
    Serve(Box<serve::Args>),
    /// Run a trickle server.
    TrickleServer(trickle_server::Args),
    /// Publish a file to a trickle channel as a live stream.
    Publish(publish::Args),
    /// Record a trickle channel to a file.
    Record(record::Args),
    /// Write a crate for a worker of one's own.
    New(new::Args),
    /// List the templates of `new` and the built-in processors.
    List(list::Args),
    /// Say what this machine has for live video, which way a picture will take on it, and why.
    Doctor(doctor::Args),
    /// Measure a worker: latency, losses, A/V offset, CPU and memory.
    Probe(probe::Args),
}

fn backends_help() -> String {
    let names = cutrickle::backends();
    let line = |stage: &str, name: &str| format!("  {stage:<14}{name}\n");
    let mut help = String::from("Backends of this build:\n");
    help += &line("video decode", names.video_decode);
    help += &line("video encode", names.video_encode);
    help += &line("audio decode", names.audio_decode);
    help += &line("audio encode", names.audio_encode);
    help
}

/// Whether the log may have colours: on a terminal whose owner has not set `NO_COLOR` (<https://no-color.org>).
fn takes_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are no errors, and go to standard output.
        Err(told) => {
            let code = ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1));
            return output::written(told.print()).map_or_else(Failure::report, |()| code);
        }
    };
    let default = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = match EnvFilter::try_new(cli.log.as_deref().unwrap_or(default)) {
        Ok(filter) => filter,
        Err(e) => return Failure::usage(format!("--log: {}", chain(&e))).report(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(takes_colours())
        // It would print to stderr what stderr did not take, and panic.
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::because("starting the async runtime", e).report(),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(args).await,
            Command::Serve(args) => serve::run(*args).await,
            Command::TrickleServer(args) => trickle_server::run(args).await,
            Command::Publish(args) => publish::run(args).await,
            Command::Record(args) => record::run(args).await,
            Command::Probe(args) => probe::run(args).await,
            Command::New(args) => new::run(&args),
            Command::List(args) => list::run(&args),
            Command::Doctor(args) => doctor::run(&args),
        }
    });
    // A processor that never returns must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
