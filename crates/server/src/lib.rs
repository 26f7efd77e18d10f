//! The REST contract of a live video worker.
//!
//! [`StreamServer`] puts a processor behind the HTTP interface that Livepeer's orchestrators, PyTrickle's
//! users and monitoring call. A stream itself is the `pipeline` crate's
//! [`Session`](cutrickle_pipeline::Session), between the channels of the `live` crate; this crate decides
//! when one may start, which one a call means, and what is answered.
//!
//! From the outside in: `connections` and `limits` are about sockets, `routes` has the paths and methods, and
//! `document` describes them. `body` and `request` read what callers send, `hosts` and `token` say what they
//! may do. `worker` does it; `launch` starts streams, `streams` knows those that run and `ended` those that
//! have ended. `answer` and `refusal` are what is said. `hardware` and `nvml` tell of the GPUs, `latest`
//! caches readings that may take a while, and `metrics` and `process_usage` are for Prometheus. `announce`
//! tells orchestrators of the worker, by `registration` (BYOC) or by `live_runner`.
#![forbid(unsafe_code)]

mod announce;
mod answer;
mod body;
mod builder;
mod connections;
mod document;
mod ended;
mod error;
mod hardware;
mod hosts;
mod latest;
mod launch;
mod limits;
mod live_runner;
mod metrics;
mod nvml;
mod orchestrator;
mod process_usage;
mod refusal;
mod registration;
mod request;
mod routes;
mod server;
mod streams;
mod token;
mod worker;

/// The HTTP library whose types [`StreamServerBuilder::route`] and [`StreamServerBuilder::merge`] take.
pub use axum;
pub use builder::StreamServerBuilder;
pub use error::Error;
pub use hardware::{Capability, Gpu, Gpus, Memory, Reading, Utilization};
pub use limits::Limits;
pub use live_runner::LiveRunner;
pub use nvml::Hardware;
pub use registration::Registration;
pub use server::{BoundServer, StreamServer};
