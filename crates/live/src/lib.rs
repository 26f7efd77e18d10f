//! Live streams over trickle. Each input and output of a stream is a channel: media are segments of MPEG-TS,
//! and parameters, events and data are JSON documents.
//!
//! [`start`] runs a processor between the channels that a [`StreamRequest`] names. [`TrickleClient`] puts the
//! caller in the processor's place. The trickle protocol is in `cutrickle-trickle`, the stream itself in
//! `cutrickle-pipeline`.
#![forbid(unsafe_code)]

mod client;
mod control;
mod delivery;
mod documents;
mod options;
mod request;
mod sink;
mod source;

pub use client::TrickleClient;
pub use control::TrickleControl;
pub use documents::TrickleDocuments;
pub use options::{Retry, TrickleOptions};
pub use request::{StreamRequest, start};
pub use sink::TrickleSink;
pub use source::TrickleSource;
