//! The command line of a live video worker.
//!
//! [`run`] turns a processor into a program: it reads the process's arguments, sets up the log and a runtime,
//! serves streams behind the REST API, and returns when Ctrl-C or SIGTERM has ended them.
//!
//! ```no_run
//! use cutrickle_frame::VideoFrame;
//! use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
//!
//! #[derive(Clone)]
//! struct Passthrough;
//!
//! impl FrameProcessor for Passthrough {
//!     async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
//!         Ok(Some(frame))
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     cutrickle_worker::run(Passthrough)
//! }
//! ```
//!
//! Such a program takes the same arguments and environment variables as `cutrickle serve`: `--port 9000`,
//! `--device cuda:0`, `--orch-url https://orchestrator:8935` and so on; `--help` lists them. A program with
//! arguments of its own flattens [`WorkerArgs`] into its own parser, and calls [`serve`] from its own
//! runtime.
//!
//! What a worker does is `cutrickle-server`'s; which processor it runs is the program's. The other items here
//! are parts of [`WorkerArgs`], for programs that need only some of them.
#![forbid(unsafe_code)]

mod args;
mod device;
mod failure;
mod log;
mod orchestration;
mod program;
mod signals;
mod streams;
mod video;

pub use args::{WorkerArgs, serve};
pub use device::open_devices;
pub use failure::Failure;
pub use log::init_log;
pub use orchestration::Orchestration;
pub use program::{run, run_with};
pub use signals::end_signal;
pub use streams::{Outages, Queue};
pub use video::VideoArgs;
