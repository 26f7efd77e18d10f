//! What a stream says of itself.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{Metrics, Params};

/// How a stream is doing. The names are those of Livepeer's status events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamState {
    /// Started; nothing has come out yet.
    Loading,
    /// Pictures (or sound, where there are none) go out.
    Online,
    /// Input is missing, or what comes cannot be decoded.
    DegradedInput,
    /// The processor fails again and again, or is far too slow.
    DegradedInference,
    /// The stream ended because of an error.
    Error,
    /// The stream ended as it should.
    Offline,
}

/// Which backend serves each stage. `None`: not opened yet, or not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backends {
    /// Video decoder.
    pub video_decode: Option<String>,
    /// Video encoder.
    pub video_encode: Option<String>,
    /// Audio decoder; none where sound is sent on as it came.
    pub audio_decode: Option<String>,
    /// Audio encoder; none where sound is sent on as it came.
    pub audio_encode: Option<String>,
    /// Where tensors are.
    pub device: Option<String>,
    /// Why that is not the GPU that was wanted; left out where nothing stands in for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_fallback: Option<String>,
}

/// A stream's status, as it stands in `/api/stream/status`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StreamStatus {
    /// The stream's name.
    pub stream_id: String,
    /// How it is doing.
    pub state: StreamState,
    /// Its figures.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The processor's parameters as last set.
    #[schema(value_type = Object)]
    pub params: Params,
    /// Which backend serves each stage.
    pub backends: Backends,
    /// Output width and height in pixels, once known.
    pub output_size: Option<(u32, u32)>,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// The newest error, in one line.
    pub last_error: Option<String>,
}
