//! The REST contract of a live video worker.
//!
//! [`StreamServer`] wraps a [`FrameProcessor`](cutrickle_pipeline::FrameProcessor) in the HTTP interface that
//! Livepeer's orchestrators, PyTrickle's users and monitoring call. A stream itself is the `pipeline` crate's
//! [`Session`](cutrickle_pipeline::Session); this crate decides when one may start, which one a call means, and
//! what is answered.
//!
//! From the outside in: `connections` (sockets), `routes` (paths and methods), `body` and `request` (what callers
//! send), `worker` (what is done), `streams` (which streams there are), `answer` and `refusal` (what is said).
#![forbid(unsafe_code)]

mod answer;
mod body;
mod builder;
mod connections;
mod error;
mod hosts;
mod launch;
mod refusal;
mod request;
mod routes;
mod server;
mod streams;
mod token;
mod worker;

pub use builder::StreamServerBuilder;
pub use error::Error;
pub use server::{BoundServer, StreamServer};
