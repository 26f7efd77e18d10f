//! The request that starts a stream over trickle.

use cutrickle_pipeline::{Ends, Error, MetricsRegistry, Params, Result, Session, Stage, StreamOptions};

use crate::{TrickleControl, TrickleDocuments, TrickleOptions, TrickleSink, TrickleSource};

/// The request that starts a stream.
#[derive(Debug, Clone, Default)]
pub struct StreamRequest {
    /// The stream's name, unique among a worker's streams.
    pub id: String,
    /// The URL to read input from; `None` for a stream without input.
    pub subscribe_url: Option<String>,
    /// The URL to publish output to; `None` for a stream without output.
    pub publish_url: Option<String>,
    /// The URL to read parameters from, in addition to [`Session::update_params`].
    pub control_url: Option<String>,
    /// The URL to publish events and heartbeats to.
    pub events_url: Option<String>,
    /// The URL to publish the processor's data to.
    pub data_url: Option<String>,
    /// The framework's own parameters and the processor's, as they were received.
    pub params: Params,
}

impl StreamRequest {
    /// Returns the channels of the request as the ends of a stream.
    ///
    /// # Errors
    /// [`Error::is_invalid`] for a malformed URL, or if there is no URL to read from or write to.
    pub fn ends(&self, options: &TrickleOptions) -> Result<Ends, Error> {
        if self.subscribe_url.is_none() && self.publish_url.is_none() && self.data_url.is_none() {
            return Err(Error::invalid(
                "none of `subscribe_url`, `publish_url` and `data_url`: a stream needs one of them",
            ));
        }
        let mut ends = Ends::new();
        if let Some(url) = &self.subscribe_url {
            ends = ends.with_source(TrickleSource::new(url, options).map_err(in_field("`subscribe_url`"))?);
        }
        if let Some(url) = &self.control_url {
            ends = ends.with_control(TrickleControl::new(url, options).map_err(in_field("`control_url`"))?);
        }
        if let Some(url) = &self.publish_url {
            ends = ends.with_sink(TrickleSink::new(url, options).map_err(in_field("`publish_url`"))?);
        }
        if let Some(url) = &self.events_url {
            let events = TrickleDocuments::new(url, "application/json", options);
            ends = ends.with_events(events.map_err(in_field("`events_url`"))?);
        }
        if let Some(url) = &self.data_url {
            let data = TrickleDocuments::new(url, "application/jsonl", options);
            ends = ends.with_data(data.map_err(in_field("`data_url`"))?);
        }
        Ok(ends)
    }
}

fn in_field(field: &'static str) -> impl Fn(cutrickle_trickle::Error) -> Error {
    move |error| Error::invalid(field).because(error)
}

/// Starts a stream with an instance of `stage` between the channels of `request`. Returns at once; the stream
/// runs in its own threads and tasks. Must be called on a tokio runtime.
///
/// # Errors
/// [`Error::is_invalid`] for a malformed URL, no URL at all, a parameter of the wrong type, or a parameter
/// that no part of the processor takes. Also fails if a thread cannot be started.
pub fn start<S: Stage>(
    stage: &S,
    request: StreamRequest,
    options: StreamOptions,
    trickle: &TrickleOptions,
    metrics: &MetricsRegistry,
) -> Result<Session, Error> {
    let ends = request.ends(trickle)?;
    Session::start(stage, request.id, request.params, ends, options, metrics)
}
