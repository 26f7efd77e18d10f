//! Passes live video through a processor.
//!
//! A [`Session`] is one stream: access units come from a [`Source`](ends::Source) and are decoded, each frame
//! is passed to the user's [`FrameProcessor`], and the result is encoded and given to a [`Sink`](ends::Sink).
//! A [`Client`] is the same with the caller in the processor's place.
//!
//! ```text
//! the source's task     decode thread     process thread     encode thread     the sink's task
//! access units ------> decode ---------> process ---------> encode ---------> access units, segments
//!            CodedQueue       FrameQueue          channel             channel
//! ```
//!
//! Each arrow is a bounded queue. If one is full, something is dropped and counted: the oldest frame (before
//! the processor), everything up to the next keyframe (before the decoder), or the rest of the segment
//! (before the sink). Nothing here blocks the async runtime, and no frame is held back until the next one
//! arrives.
//!
//! Transports and containers are attached at the [`ends`] and implemented in other crates; so is the REST
//! API.
#![forbid(unsafe_code)]

mod audio_path;
mod background;
mod client;
pub mod compose;
mod context;
mod data;
mod decode;
mod egress;
pub mod ends;
mod error;
mod events;
mod exposition;
mod generate;
mod gpu;
mod input;
mod last_frames;
mod lateness;
mod metrics;
mod options;
mod pacing;
mod panics;
mod params;
mod process;
mod processor;
mod queue;
mod rate;
mod session;
mod stage;
mod state;
mod status;
mod stream;
mod threads;
mod trial;
mod typed;
mod updates;

pub use background::Background;
pub use client::{Client, VideoFrames};
pub use context::StreamContext;
pub use ends::Ends;
pub use error::{BoxError, Error, Result};
pub use exposition::{Figures, MetricsRegistry};
pub use input::{InputInfo, InputKind, InputTrack};
pub use last_frames::LastFrames;
pub use metrics::Metrics;
pub use options::{AudioOutput, Queueing, StreamOptions};
pub use params::{Params, StreamParams};
pub use process::initialize;
pub use processor::{FrameProcessor, Generated};
pub use session::Session;
pub use stage::Stage;
pub use status::{EndReason, StageBackends, StreamState, StreamStatus};
pub use trial::Trial;
pub use typed::{NoParams, TypedParams};
pub use updates::Verdict;
