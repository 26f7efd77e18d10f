//! The REST contract of a live video worker.
//!
//! [`StreamServer`] wraps a [`FrameProcessor`](cutrickle_pipeline::FrameProcessor) in the HTTP interface that
//! Livepeer's orchestrators, PyTrickle's users and monitoring call. A stream itself is the `pipeline` crate's
//! [`Session`](cutrickle_pipeline::Session); this crate decides when one may start, which one a call means, and
//! what is answered.
//!
//! From the outside in: `connections` and `limits` (sockets), `routes` (paths and methods) and `document` (what is said of
//! them), `body` and `request` (what callers
//! send), `hosts` and `token` (what they may), `worker` (what is done), `streams` (which streams there are) and `ended` (which there were), `answer` and `refusal` (what is said).
//! `hardware` and `nvml` tell of the GPUs, `latest` keeps what may take its time; `gpu_metrics`, `worker_metrics` and `process_usage` are for Prometheus. `announce` tells orchestrators of the worker: `registration` for BYOC, `live_runner` for its successor.
#![forbid(unsafe_code)]

mod announce;
mod answer;
mod body;
mod builder;
mod connections;
mod document;
mod ended;
mod error;
mod gpu_metrics;
mod hardware;
mod hosts;
mod latest;
mod launch;
mod limits;
mod live_runner;
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
mod worker_metrics;

pub use builder::StreamServerBuilder;
pub use error::Error;
pub use hardware::{Capability, Gpu, Gpus, Memory, Reading, Utilization};
pub use limits::Limits;
pub use live_runner::LiveRunner;
pub use nvml::Hardware;
pub use registration::Registration;
pub use server::{BoundServer, StreamServer};
