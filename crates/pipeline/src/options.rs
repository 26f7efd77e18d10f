//! How streams are run: what a worker is configured with, once for all its streams.

use std::time::Duration;

use candle_core::Device;
use cutrickle_codec::Coding;
use cutrickle_trickle::ClientConfig;

/// Which codec sound leaves in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioOutput {
    /// The input's own: packets that the processor did not touch are sent on as they came.
    #[default]
    Source,
    /// Opus, which is all that WHEP viewers can hear.
    Opus,
}

/// Which pictures a processor that is slower than its input is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Queueing {
    /// The newest: live video. A picture that waits is dropped when the one after it is due.
    #[default]
    Latest,
    /// Every picture, in order, while no more than [`StreamOptions::max_queue_size`] wait: batches and recordings.
    All,
}

/// For how long a trickle server that is out of reach is tried again before the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The server of the input and of the control channel. 30 s.
    pub input: Duration,
    /// The servers that the stream publishes to: output, events, and data. 10 min.
    pub output: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { input: Duration::from_secs(30), output: Duration::from_secs(600) }
    }
}

/// How streams are run.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Output pictures per second, 1 to 60; pictures beyond are left out by their timestamps. `None` keeps the
    /// input's rate.
    pub target_fps: Option<u32>,
    /// Which pictures a processor that is slower than its input is given.
    pub queueing: Queueing,
    /// How far live video may fall behind: a decoder with more than this to do skips to a keyframe, and a processor is
    /// given no picture that arrived longer ago than this while a newer one waits. Without effect on
    /// [`Queueing::All`]. 1 s.
    pub max_latency: Duration,
    /// Decoded pictures that may wait for the processor, whatever [`queueing`](Self::queueing) says; of more the oldest
    /// is dropped. 30.
    pub max_queue_size: usize,
    /// For how long a trickle server that is out of reach is tried again. It goes before
    /// [`ClientConfig::retry_window`].
    pub retry: Retry,
    /// A stream whose input brings no picture and no sound for so long ends, whatever the reason: an outage of the
    /// input's server that [`retry`](Self::retry) is to outlast has to be shorter. `None` waits for ever. 60 s.
    pub input_timeout: Option<Duration>,
    /// Time from one output segment to the next, and so between IDR pictures.
    pub segment_duration: Duration,
    /// Output video bits per second; `None` goes by size and rate.
    pub bitrate: Option<u32>,
    /// How output video is coded.
    pub coding: Coding,
    /// Which codec sound leaves in.
    pub audio: AudioOutput,
    /// Where tensors are.
    pub device: Device,
    /// Why that is not the GPU that was wanted.
    pub device_fallback: Option<String>,
    /// What the worker does, as its status events name it.
    pub pipeline: String,
    /// Whether streams with an events channel send their whole status beside each heartbeat. It replaces all that a
    /// gateway shows of the worker.
    pub status_events: bool,
    /// How trickle servers are reached.
    pub trickle: ClientConfig,
    /// How long ending a stream may take before what is left is abandoned.
    pub stop_deadline: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            target_fps: None,
            queueing: Queueing::default(),
            max_latency: Duration::from_secs(1),
            max_queue_size: 30,
            retry: Retry::default(),
            input_timeout: Some(Duration::from_secs(60)),
            segment_duration: Duration::from_secs(1),
            bitrate: None,
            coding: Coding::default(),
            audio: AudioOutput::Source,
            device: Device::Cpu,
            device_fallback: None,
            pipeline: "live-video-to-video".into(),
            status_events: false,
            trickle: ClientConfig::default(),
            stop_deadline: Duration::from_secs(5),
        }
    }
}
