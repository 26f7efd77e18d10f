//! A whole program: everything that `main` of a worker does.

use std::time::Duration;

use clap::Parser;
use cutrickle_error::BoxError;
use cutrickle_pipeline::{Error, Result, Stage};
use cutrickle_server::StreamServerBuilder;
use tokio::runtime::{Builder, Handle};

use crate::{Failure, WorkerArgs, init_log, serve};

/// How long threads of processors may go on after the streams have ended: one that never returns must not
/// keep the process alive.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// A live video worker: processes the streams that are started over its REST API.
#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    worker: WorkerArgs,
    /// What to log, as in RUST_LOG: `info`, `debug`, `cutrickle_pipeline=debug`.
    // Not under the heading of the arguments before it.
    #[arg(
        long,
        value_name = "FILTER",
        env = "RUST_LOG",
        hide_env_values = true,
        help_heading = None::<&'static str>
    )]
    log: Option<String>,
}

/// Runs a worker with `stage` as this process's command line and environment say, until Ctrl-C or SIGTERM.
/// This is all that `main` has to do. It blocks, and brings a tokio runtime of its own.
///
/// `--help` prints the arguments and ends the process; so does a wrong argument, with exit code 2.
///
/// # Errors
/// Everything else that keeps the worker from running, such as a port that is taken. The error's `Debug`,
/// which is what a `main` that returns it prints, is one line.
pub fn run<S: Stage>(stage: S) -> Result<()> {
    run_with(stage, |server| server)
}

/// The same with a server that `configure` has changed, after the command line was applied to it:
///
/// ```no_run
/// # use cutrickle_pipeline::{Result, Stage};
/// # fn main_of(stage: impl Stage) -> Result<()> {
/// cutrickle_worker::run_with(stage, |server| server.model_id("small").version("1.2.3"))
/// # }
/// ```
///
/// # Errors
/// As [`run`].
pub fn run_with<S: Stage>(
    stage: S,
    configure: impl FnOnce(StreamServerBuilder) -> StreamServerBuilder,
) -> Result<()> {
    if Handle::try_current().is_ok() {
        return Err(
            Error::invalid("a worker brings a tokio runtime of its own: `main` must not be async").into()
        );
    }
    let program = Program::parse();
    init_log(program.log.as_deref(), "info").map_err(ended)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(stage, program.worker, configure));
    runtime.shutdown_timeout(LAST_CALLS);
    served.map_err(ended)
}

/// A failure as an error. One that the arguments are to blame for ends the process, as clap does where they
/// cannot even be read.
fn ended(failure: Failure) -> BoxError {
    if failure.is_usage() {
        failure.report();
        std::process::exit(2);
    }
    Error::failed(failure.line()).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Program::command().debug_assert();
    }

    #[test]
    fn a_failure_is_returned_as_one_line() {
        let failure = Failure::because("listening", std::io::Error::other("the port\nis taken"));
        assert_eq!(format!("{:?}", ended(failure)), "listening: the port: is taken");
    }

    #[tokio::test]
    async fn inside_of_a_runtime_it_is_refused() {
        #[derive(Clone)]
        struct Passthrough;

        impl cutrickle_pipeline::FrameProcessor for Passthrough {
            async fn process_video(
                &mut self,
                frame: cutrickle_frame::VideoFrame,
                _: &cutrickle_pipeline::StreamContext,
            ) -> Result<Option<cutrickle_frame::VideoFrame>> {
                Ok(Some(frame))
            }
        }

        assert!(run(Passthrough).unwrap_err().to_string().contains("async"));
    }
}
