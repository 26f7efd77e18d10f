//! The command `cutrickle`: workers, a trickle server, a publisher and a recorder of streams, a probe, a
//! demonstration of all of these together, and templates for new workers.
//!
//! Each subcommand is a file in `commands`. This file parses the arguments, sets up the log, and turns a
//! failure into one line and an exit code: 2 for a wrong argument, 1 for everything else.

mod backends;
mod commands;
mod listen;
mod output;
mod processors;
mod progress;
mod remux;
mod source;
mod templates;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cutrickle_worker::{Failure, init_log};

use crate::commands::{demo, doctor, list, new, probe, process, publish, record, serve, trickle_server};

/// Real-time AI video: one frame processor between two live streams.
#[derive(Debug, Parser)]
#[command(name = "cutrickle", version, after_help = backends::table())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, as in RUST_LOG: `info`, `debug`, `cutrickle_pipeline=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a source, a trickle server, a worker and a page to watch them on, all in one process.
    Demo(demo::Args),
    /// Run a worker with built-in processors behind the REST API.
    Serve(Box<serve::Args>),
    /// Run a file through built-in processors.
    Process(Box<process::Args>),
    /// Run a trickle server.
    TrickleServer(trickle_server::Args),
    /// Publish a file to a trickle channel as a live stream.
    Publish(publish::Args),
    /// Record a trickle channel to a file.
    Record(record::Args),
    /// Create a crate for a worker of your own.
    New(new::Args),
    /// List the built-in processors, and the templates of `new`.
    List(list::Args),
    /// Show what this machine has for live video, which decoders and encoders a stream will use, and why.
    Doctor(doctor::Args),
    /// Measure a worker: latency, losses, A/V offset, CPU time and memory.
    Probe(probe::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are not errors, and go to standard output.
        Err(told) => {
            let code = ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1));
            return output::written(told.print()).map_or_else(Failure::report, |()| code);
        }
    };
    let default = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    if let Err(failure) = init_log(cli.log.as_deref(), default) {
        return failure.report();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::because("starting the async runtime", e).report(),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(args).await,
            Command::Serve(args) => serve::run(*args).await,
            Command::Process(args) => process::run(*args).await,
            Command::TrickleServer(args) => trickle_server::run(args).await,
            Command::Publish(args) => publish::run(args).await,
            Command::Record(args) => record::run(args).await,
            Command::Probe(args) => probe::run(args).await,
            Command::New(args) => new::run(&args),
            Command::List(args) => list::run(&args),
            Command::Doctor(args) => doctor::run(&args),
        }
    });
    // A processor that never returns must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
