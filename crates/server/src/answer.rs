//! What is answered when all is well: the shapes of the contract's JSON.

use std::collections::BTreeMap;

use cutrickle_codec::probe::Machine;
use cutrickle_pipeline::{Metrics, StreamState, StreamStatus};
use serde::Serialize;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::hardware::{Gpu, GpuInfo, GpuStats, Gpus};

/// What a worker calls itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Identity {
    pub(crate) pipeline: String,
    pub(crate) model_id: String,
    pub(crate) version: String,
}

/// The answer of `/app-version`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppVersion {
    pub(crate) version: String,
}

/// How a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthAnswer {
    pub(crate) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How many streams there are.
    pub(crate) active_streams: usize,
    /// The worst state that one of them is in; left out where there is none. It changes nothing in `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_state: Option<StreamState>,
}

/// The answer to a call about a stream that was carried out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    /// Always `success`.
    status: &'static str,
    /// What was done.
    message: &'static str,
    /// The stream that it was done to.
    stream_id: String,
}

impl Acknowledged {
    pub(crate) fn new(message: &'static str, stream_id: String) -> Self {
        Self { status: "success", message, stream_id }
    }
}

/// The answer to a start that was carried out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    #[serde(flatten)]
    done: Acknowledged,
    /// The `gateway_request_id` of the start, else the stream's name.
    request_id: String,
    /// What `/health` answers at this moment.
    current_state: HealthAnswer,
}

impl Started {
    pub(crate) fn new(stream_id: String, request_id: String, current_state: HealthAnswer) -> Self {
        Self { done: Acknowledged::new("Stream processing started", stream_id), request_id, current_state }
    }
}

/// The answer of `/api/stream/status`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    pub(crate) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    pub(crate) capacity: usize,
    /// At the top level: the status of the stream that is meant. Where the call names none it is the one that runs, or
    /// on an idle worker the one that ended last.
    #[serde(flatten)]
    pub(crate) figures: StatusFigures,
    /// Those that run.
    pub(crate) streams: Vec<StreamStatus>,
    /// The one that ended last.
    pub(crate) last_stream: Option<StreamStatus>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum StatusFigures {
    Stream(Box<StreamStatus>),
    Worker(Overview),
}

// Not derived: an untagged enum would become `oneOf`, and whatever is a stream's status is an overview too.
impl PartialSchema for StatusFigures {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new()
            .item(Ref::from_schema_name(StreamStatus::name()))
            .item(Ref::from_schema_name(Overview::name()))
            .description(Some("The status of the stream that is meant; an overview of all that run where it is none in particular."));
        Schema::AnyOf(either.build()).into()
    }
}

impl ToSchema for StatusFigures {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((StreamStatus::name().into(), StreamStatus::schema()));
        StreamStatus::schemas(schemas);
        schemas.push((Overview::name().into(), Overview::schema()));
        Overview::schemas(schemas);
    }
}

/// What stands in the place of a stream's status where no stream in particular is meant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    /// The worst state of those that run. Without any: LOADING or ERROR where the worker is, else OFFLINE.
    state: StreamState,
    /// Their figures: counts and rates are added up, of the others it is the largest.
    #[serde(flatten)]
    metrics: Metrics,
}

impl Overview {
    /// Of these streams.
    pub(crate) fn of(state: StreamState, streams: &[StreamStatus]) -> Self {
        let mut metrics = Metrics::default();
        for stream in streams {
            metrics.take_in(stream.metrics);
        }
        Self { state, metrics }
    }
}

/// Of several states the one that is worst.
pub(crate) fn worst(states: impl IntoIterator<Item = StreamState>) -> Option<StreamState> {
    let rank = |state: &StreamState| StreamState::ALL.iter().position(|of| of == state);
    states.into_iter().max_by_key(rank)
}

/// The answer of `/hardware/info`. The GPUs go by their numbers; without a driver there are none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HardwareInfo<'a> {
    pipeline: String,
    model_id: String,
    /// The driver's version.
    driver: Option<String>,
    /// What decodes and encodes video here, and why not the GPU where it does not: what `cutrickle doctor --json` prints.
    #[schema(value_type = Object)]
    video: &'a Machine,
    // In JSON all keys are strings.
    #[schema(value_type = BTreeMap<String, GpuInfo>)]
    gpu_info: BTreeMap<u32, GpuInfo>,
}

/// The answer of `/hardware/stats`. The GPUs go by their numbers; without a driver there are none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HardwareStats {
    pipeline: String,
    model_id: String,
    #[schema(value_type = BTreeMap<String, GpuStats>)]
    gpu_stats: BTreeMap<u32, GpuStats>,
}

impl<'a> HardwareInfo<'a> {
    pub(crate) fn new(
        Identity { pipeline, model_id, .. }: Identity,
        gpus: &Gpus,
        video: &'a Machine,
    ) -> Self {
        Self {
            pipeline,
            model_id,
            driver: gpus.driver.as_ref().ok().cloned(),
            video,
            gpu_info: by_number(gpus),
        }
    }
}

impl HardwareStats {
    pub(crate) fn new(Identity { pipeline, model_id, .. }: Identity, gpus: &Gpus) -> Self {
        Self { pipeline, model_id, gpu_stats: by_number(gpus) }
    }
}

fn by_number<'a, T: From<&'a Gpu>>(gpus: &'a Gpus) -> BTreeMap<u32, T> {
    gpus.gpus.iter().map(|(number, gpu)| (*number, gpu.into())).collect()
}
