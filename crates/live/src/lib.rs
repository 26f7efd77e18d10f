//! Live streams over trickle. Each end of a stream is a channel: media come and go as segments of MPEG-TS, parameters
//! come and events and data go as JSON documents.
//!
//! [`start`] runs a processor between the channels that a [`StreamRequest`] names. [`TrickleClient`] puts the caller in
//! the processor's place. What trickle is on the wire is `cutrickle-trickle`, what a stream does `cutrickle-pipeline`.
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
