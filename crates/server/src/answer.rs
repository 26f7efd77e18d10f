//! What is answered when all is well: the shapes of the contract's JSON.

use cutrickle_pipeline::{Metrics, StreamState, StreamStatus};
use serde::Serialize;

/// What a worker calls itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Identity {
    pub(crate) pipeline: String,
    pub(crate) model_id: String,
    pub(crate) version: String,
}

/// How a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Health {
    /// `initialize` has not returned.
    Loading,
    /// No stream runs.
    Idle,
    /// Streams run.
    Ok,
    /// `initialize` failed.
    Error,
}

/// The answer of `/health`.
#[derive(Debug, Serialize)]
pub(crate) struct HealthAnswer {
    pub(crate) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The answer to a call about a stream that was carried out.
#[derive(Debug, Serialize)]
pub(crate) struct Acknowledged {
    status: &'static str,
    message: &'static str,
    stream_id: String,
}

impl Acknowledged {
    pub(crate) fn new(message: &'static str, stream_id: String) -> Self {
        Self { status: "success", message, stream_id }
    }
}

/// The answer of `/api/stream/status`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    pub(crate) capacity: usize,
    /// The stream's own, at the top level: with one stream a worker's status is its stream's.
    #[serde(flatten)]
    pub(crate) figures: StatusFigures,
    pub(crate) streams: Vec<StreamStatus>,
    pub(crate) last_stream: Option<StreamStatus>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum StatusFigures {
    Stream(Box<StreamStatus>),
    Idle(Idle),
}

/// What stands in the place of a stream's status where there is none.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    state: StreamState,
    #[serde(flatten)]
    metrics: Metrics,
}

impl Default for Idle {
    fn default() -> Self {
        Self { state: StreamState::Offline, metrics: Metrics::default() }
    }
}
