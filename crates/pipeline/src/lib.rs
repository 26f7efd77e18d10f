//! Live video through a frame processor.
//!
//! A [`Session`] is one stream: it subscribes, demuxes, decodes, hands each frame to a clone of the user's
//! [`FrameProcessor`], encodes what comes back, muxes and publishes. A [`TrickleClient`] is the same with the
//! caller in the processor's place.
//!
//! ```text
//! tokio task          decode thread     process thread     encode thread        tokio task
//! subscribe, demux -> units -> decode -> frames -> process -> encode, mux -> segments -> publish
//! ```
//!
//! Each arrow is a bounded queue. Where one is full, the oldest picture goes (before the processor), or
//! everything up to the next keyframe (before the decoder), or the rest of the segment (before the network);
//! each is counted. Nothing here blocks the async runtime, and nothing waits for the next picture in order to
//! send this one.
//!
//! The REST contract is the server's job, the wire the `trickle` crate's, bytes and timestamps the `mpegts` crate's.
#![forbid(unsafe_code)]

mod client;
pub mod compose;
mod control;
mod data;
mod decode;
mod delivery;
mod documents;
mod egress;
mod error;
mod events;
mod exposition;
mod generate;
mod gpu;
mod ingress;
mod input;
mod lateness;
mod metrics;
mod options;
mod pacing;
mod panics;
mod params;
mod process;
mod processor;
mod publish;
mod queue;
mod rate;
mod session;
mod sound;
mod state;
mod status;
mod stream;
mod threads;
mod updates;

pub use client::{TrickleClient, VideoFrames};
pub use error::{BoxError, Error, Result};
pub use exposition::{Figures, MetricsRegistry};
pub use input::{InputInfo, InputKind, InputTrack};
pub use metrics::Metrics;
pub use options::{AudioOutput, Queueing, Retry, StreamOptions};
pub use params::{Params, StreamParams};
pub use process::initialize;
pub use processor::{Finished, FrameProcessor, Generated, Started, StreamContext};
pub use session::{Session, StreamRequest};
pub use status::{Backends, EndReason, StreamState, StreamStatus};
pub use updates::Verdict;
