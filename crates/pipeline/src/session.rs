//! One stream from start to end.
use std::sync::Arc;
use crate::{Error, FrameProcessor, Metrics, MetricsRegistry, Params, Result, StreamOptions, StreamStatus};

/// What a stream is started with.
#[derive(Debug, Clone, Default)]
pub struct StreamRequest {
    /// The stream's name; unique among a worker's streams.
    pub id: String,
    /// Where input comes from; none for a stream without input.
    pub subscribe_url: Option<String>,
    /// Where output goes; none for a stream without output.
    pub publish_url: Option<String>,
    /// The framework's own parameters and the processor's, as they came.
    pub params: Params,
}

/// A running stream. Dropping it stops it.
#[derive(Debug)]
pub struct Session { stream: Arc<()> }

impl Session {
    /// Starts.
    ///
    /// # Errors
    /// invalid
    pub fn start<P: FrameProcessor>(_prototype: &P, _request: StreamRequest, _options: StreamOptions, _metrics: &MetricsRegistry) -> Result<Self, Error> {
        Err(Error::failed("to come"))
    }
    /// The stream's name.
    pub fn id(&self) -> &str { "" }
    /// New parameters
    ///
    /// # Errors
    /// invalid
    pub fn update_params(&self, _params: Params) -> Result<(), Error> { let _ = &self.stream; Ok(()) }
    /// status
    pub fn status(&self) -> StreamStatus { unimplemented!() }
    /// metrics
    pub fn metrics(&self) -> Metrics { unimplemented!() }
    /// Asks the stream to end: what is in flight is flushed, channels are closed, hooks run.
    pub fn stop(&self) {}
    /// Waits until the stream has ended, by itself or by `stop`.
    pub async fn ended(&self) {}
    /// Whether it has ended.
    pub fn is_ended(&self) -> bool { false }
}

/// Runs a prototype's `initialize` on a thread of its own; a panic becomes an error.
///
/// # Errors
/// The processor's.
pub async fn initialize<P: FrameProcessor>(processor: P) -> Result<P> { Ok(processor) }
