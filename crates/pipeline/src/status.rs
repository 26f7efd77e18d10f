//! What a stream says of itself.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{InputInfo, Metrics, Params};

/// How a stream is doing. The names are those of Livepeer's status events, and one that these do not have:
/// `DEGRADED_OUTPUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamState {
    /// Started; nothing has come out yet.
    Loading,
    /// Video (or audio, where there is no video) goes out, as far as a connection takes it.
    Online,
    /// Input is missing, or what comes cannot be decoded.
    DegradedInput,
    /// The processor fails again and again, or is far too slow.
    DegradedInference,
    /// What the stream publishes (output, events, or data) cannot be delivered: the server is out of reach, or takes
    /// nothing. It is tried again for as long as the sink's configuration says.
    DegradedOutput,
    /// The stream ended because of an error.
    Error,
    /// The stream ended as it should.
    Offline,
}

impl StreamState {
    /// Every state, from the best of a running stream to the worst.
    pub const ALL: [Self; 7] = [
        Self::Offline,
        Self::Online,
        Self::Loading,
        Self::DegradedInput,
        Self::DegradedInference,
        Self::DegradedOutput,
        Self::Error,
    ];

    /// The state as it stands in the status, in events, and as a label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "LOADING",
            Self::Online => "ONLINE",
            Self::DegradedInput => "DEGRADED_INPUT",
            Self::DegradedInference => "DEGRADED_INFERENCE",
            Self::DegradedOutput => "DEGRADED_OUTPUT",
            Self::Error => "ERROR",
            Self::Offline => "OFFLINE",
        }
    }
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It was asked to: by a call, or because the worker shuts down.
    Stopped,
    /// The input's channel ended.
    InputEnded,
    /// The other side closed a channel that the stream publishes to.
    OutputClosed,
    /// The input brought neither video nor audio for [`input_timeout`](crate::StreamOptions::input_timeout).
    InputTimeout,
    /// The input's server stayed out of reach, refused the stream, or does not have the channel.
    InputFailed,
    /// A server that the stream publishes to stayed out of reach, or refused the stream.
    OutputFailed,
    /// The processor could not begin the stream.
    ProcessorFailed,
    /// It did not end within [`stop_deadline`](crate::StreamOptions::stop_deadline) of being asked to.
    Abandoned,
    /// A fault of the framework itself.
    Internal,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Stopped,
        Self::InputEnded,
        Self::OutputClosed,
        Self::InputTimeout,
        Self::InputFailed,
        Self::OutputFailed,
        Self::ProcessorFailed,
        Self::Abandoned,
        Self::Internal,
    ];

    /// The reason as it stands in the status, in events, and as a label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::InputEnded => "input_ended",
            Self::OutputClosed => "output_closed",
            Self::InputTimeout => "input_timeout",
            Self::InputFailed => "input_failed",
            Self::OutputFailed => "output_failed",
            Self::ProcessorFailed => "processor_failed",
            Self::Abandoned => "abandoned",
            Self::Internal => "internal",
        }
    }

    /// Whether the stream ended because of an error: its state is then [`StreamState::Error`], else
    /// [`StreamState::Offline`].
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::Stopped | Self::InputEnded | Self::OutputClosed)
    }
}

/// Which backend serves each stage. `None`: not opened yet, or not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Backends)]
pub struct StageBackends {
    /// Video decoder.
    pub video_decode: Option<String>,
    /// Video encoder.
    pub video_encode: Option<String>,
    /// Audio decoder; none where audio is sent on as it came.
    pub audio_decode: Option<String>,
    /// Audio encoder; none where audio is sent on as it came.
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
    /// The processor's parameters in force: those that it has taken.
    #[schema(value_type = Object)]
    pub params: Params,
    /// Which backend serves each stage.
    pub backends: StageBackends,
    /// What the input carries, once it has said so.
    pub input: Option<InputInfo>,
    /// Output width and height in pixels, once known.
    pub output_size: Option<(u32, u32)>,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// The newest error, in one line.
    pub last_error: Option<String>,
    /// When the stream was started, in milliseconds since 1970.
    pub started_at: u64,
    /// When it ended, in milliseconds since 1970; none while it runs.
    pub ended_at: Option<u64>,
    /// Why it ended; none while it runs.
    pub end_reason: Option<EndReason>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for state in StreamState::ALL {
            assert_eq!(json!(state), state.as_str());
        }
        for reason in EndReason::ALL {
            assert_eq!(json!(reason), reason.as_str());
        }
    }
}
