//! `cutrickle probe`: measures a worker from outside, namely how much latency it adds to a stream and what it
//! loses.
//!
//! Everything that costs CPU time is done before or after the measurement: [`source`] encodes numbered frames
//! in advance, [`run`] only sends and receives bytes and notes the time, and [`readback`] decodes what came
//! and reads the numbers. [`report`] makes figures of that.

mod audio;
mod figures;
mod process;
mod readback;
mod receive;
mod report;
mod run;
mod send;
mod source;
mod stamp;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use cutrickle_error::chain;
use cutrickle_media::Size;
use cutrickle_worker::Failure;
use serde_json::Value;

use crate::output::print;
use crate::progress;
use crate::worker::Worker;
use process::Process;
use report::Report;
use run::Plan;
use source::{Source, Wanted};

/// The arguments of `cutrickle probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Base URL of the worker's REST API, such as `http://127.0.0.1:8000`.
    #[arg(long, value_name = "URL")]
    worker: String,
    /// Base URL of a trickle server that both the probe and the worker can reach, such as
    /// `http://127.0.0.1:3389/`.
    #[arg(long, value_name = "URL")]
    trickle: String,
    /// MPEG-TS file whose H.264 video is sent, repeated as needed. Defaults to a built-in clip.
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
    /// Width of the frames that are sent, in pixels.
    #[arg(long, default_value_t = 512)]
    width: u32,
    /// Height of the frames that are sent, in pixels.
    #[arg(long, default_value_t = 512)]
    height: u32,
    /// Frames per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Duration of the measurement in seconds. The first 2 seconds are a warm-up and do not count for latency
    /// and CPU time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: u32,
    /// Parameters for the worker, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = params)]
    params: Value,
    /// Process ID of the worker on this machine, to measure its CPU time and memory (Linux only).
    #[arg(long)]
    pid: Option<u32>,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

const NOTES: &str = "\
The added latency is the time from the arrival of the last byte of a frame on the input channel, which
the probe reads as well, to the arrival of the last byte of the same frame from the worker. Losses are
counted from the first frame that came out. If the worker has a frame rate of its own, set it to that of
the input, as in --params '{\"max_framerate\": 30}'.";

fn params(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("a JSON object is wanted".into()),
        Err(e) => Err(chain(&e).to_string()),
    }
}

/// Measures, and prints the results.
pub async fn run(args: Args) -> Result<(), Failure> {
    let wanted = Wanted { size: Size::new(args.width, args.height), fps: args.fps, seconds: args.seconds };
    let process = args.pid.map(Process::new).transpose()?;
    let plan =
        Plan { worker: Worker::new(&args.worker)?, trickle: args.trickle, params: args.params, process };
    let clip = clip(args.clip)?;

    let line = progress::line("preparing");
    let source = Arc::new(
        tokio::task::spawn_blocking(move || {
            Source::prepare(&clip, wanted, |number| line.set_message(format!("frame {}", number + 1)))
        })
        .await??,
    );
    let line = progress::line("measuring");
    let noted = run::run(&plan, Arc::clone(&source)).await;
    line.finish_and_clear();
    let noted = noted?;
    let line = progress::line("reading the frames that came");
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
