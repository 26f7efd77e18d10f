//! The status that a stream reports.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{InputInfo, Metrics, Params};

/// How a stream is doing. The names are those of Livepeer's status events, and one that these do not have:
/// `DEGRADED_OUTPUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamState {
    /// Started; nothing has been sent yet.
    Loading,
    /// Video (or audio, if there is no video) is being sent, as far as a connection accepts it.
    Online,
    /// Input is missing, or cannot be decoded.
    DegradedInput,
    /// The processor fails repeatedly, or is far too slow.
    DegradedInference,
    /// What the stream publishes (output, events, or data) cannot be delivered, because the server is
    /// unreachable or accepts nothing. Delivery is retried for as long as the sink's configuration says.
    DegradedOutput,
    /// The stream ended because of an error.
    Error,
    /// The stream ended normally.
    Offline,
}

impl StreamState {
    /// All states, from the best of a running stream to the worst.
    pub const ALL: [Self; 7] = [
        Self::Offline,
        Self::Online,
        Self::Loading,
        Self::DegradedInput,
        Self::DegradedInference,
        Self::DegradedOutput,
        Self::Error,
    ];

    /// The state as written in the status, in events, and in labels of metrics.
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
    /// It was asked to stop, by a call or because the worker shuts down.
    Stopped,
    /// The input's channel ended.
    InputEnded,
    /// The other side closed a channel that the stream publishes to.
    OutputClosed,
    /// The input brought neither video nor audio for [`input_timeout`](crate::StreamOptions::input_timeout).
    InputTimeout,
    /// The input's server stayed unreachable, refused the stream, or does not have the channel.
    InputFailed,
    /// A server that the stream publishes to stayed unreachable, or refused the stream.
    OutputFailed,
    /// The processor failed to start.
    ProcessorFailed,
    /// It did not end within [`stop_deadline`](crate::StreamOptions::stop_deadline) after being asked to.
    Abandoned,
    /// An internal error of the framework.
    Internal,
}

impl EndReason {
    /// All reasons.
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

    /// The reason as written in the status, in events, and in labels of metrics.
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

    /// Whether the stream ended because of an error. Its state is then [`StreamState::Error`], otherwise
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
