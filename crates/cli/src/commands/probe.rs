//! `cutrickle probe`: measures a worker from outside: what it adds to the way of a stream, and what it loses of it.
//!
//! Everything that costs CPU is done before or after the measurement: [`source`] encodes numbered pictures in
//! advance, [`run`] only sends and receives bytes and notes the time, [`readback`] decodes what came and reads the
//! numbers. [`report`] turns that into figures.

mod figures;
mod process;
mod readback;
mod receive;
mod report;
mod run;
mod send;
mod sound;
mod source;
mod stamp;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use cutrickle_error::chain;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::print;
use crate::progress;
use crate::worker::Worker;
use process::Process;
use report::Report;
use run::Plan;
use source::{Source, Wanted};

/// Arguments of `cutrickle probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Base URL of the worker's REST API: `http://127.0.0.1:8000`.
    #[arg(long, value_name = "URL")]
    worker: String,
    /// Base URL of a trickle server that both can reach: `http://127.0.0.1:3389/`.
    #[arg(long, value_name = "URL")]
    trickle: String,
    /// MPEG-TS file with the H.264 pictures to send, looped; a clip of moving pictures if left out.
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
    /// Width of the pictures sent.
    #[arg(long, default_value_t = 512)]
    width: u32,
    /// Height of the pictures sent.
    #[arg(long, default_value_t = 512)]
    height: u32,
    /// Pictures per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Length of the measurement; the first 2 s warm up and do not count for latency and CPU.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: u32,
    /// The worker's parameters, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = params)]
    params: Value,
    /// The worker's process on this machine, whose CPU time and memory are to be measured (Linux).
    #[arg(long)]
    pid: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const NOTES: &str = "\
Added latency is the arrival of a picture's last byte from the worker less the arrival of the same picture from the
input channel, which the probe reads beside it. Losses count from the first picture that came out. Give a worker that
has a frame rate of its own the rate of the pictures, as in --params '{\"max_framerate\": 30}'.";

fn params(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("a JSON object is wanted".into()),
        Err(e) => Err(chain(&e).to_string()),
    }
}

/// Measures, and prints the figures.
pub async fn run(args: Args) -> Result<(), Failure> {
    let wanted = Wanted { width: args.width, height: args.height, fps: args.fps, seconds: args.seconds };
    let process = args.pid.map(Process::new).transpose()?;
    let plan =
        Plan { worker: Worker::new(&args.worker)?, trickle: args.trickle, params: args.params, process };
    let clip = clip(args.clip)?;

    let line = progress::line("preparing");
    let source = Arc::new(
        tokio::task::spawn_blocking(move || {
            Source::prepare(&clip, wanted, |number| line.set_message(format!("picture {}", number + 1)))
        })
        .await??,
    );
    let line = progress::line("measuring");
    let noted = run::run(&plan, Arc::clone(&source)).await;
    line.finish_and_clear();
    let noted = noted?;
    let line = progress::line("reading the pictures that came");
    let report = tokio::task::spawn_blocking(move || Report::new(&source, &noted)).await??;
    line.finish_and_clear();
    if args.json { print(serde_json::to_string(&report)? + "\n") } else { print(report) }
}

fn clip(file: Option<PathBuf>) -> Result<Cow<'static, [u8]>, Failure> {
    match file {
        None => Ok(Cow::Borrowed(crate::source::CLIP)),
        Some(file) => match std::fs::read(&file) {
            Ok(clip) => Ok(Cow::Owned(clip)),
            Err(e) => Err(Failure::usage(format!("--clip {}: {}", file.display(), chain(&e)))),
        },
    }
}
