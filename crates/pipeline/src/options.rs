//! Options for running streams, configured once per worker for all its streams.

use std::time::Duration;

use candle_core::Device;
use cutrickle_codec::{Backends, Coding};

/// The codec of output audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioOutput {
    /// The input's own codec; packets that the processor did not change are passed through.
    #[default]
    Source,
    /// Opus, the only codec that WHEP viewers can play.
    Opus,
}

/// Which frames a processor receives when it is slower than its input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Queueing {
    /// The newest frame, for live video. A waiting frame is dropped when the next one is due.
    #[default]
    Latest,
    /// Every frame, in order, as long as at most [`StreamOptions::max_queue_size`] are waiting, for live
    /// streams that are recorded.
    All,
    /// Every frame, in order, however long it takes: the source waits for the processor, and the encoder for
    /// the sink. For sources that can wait, such as files.
    Lossless,
}

/// Options for running streams. Start from the default and change individual fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Output frames per second, 1 to 60; excess frames are dropped by their timestamps. `None` keeps the
    /// input's rate.
    pub target_fps: Option<u32>,
    /// Which frames a processor receives when it is slower than its input.
    pub queueing: Queueing,
    /// How far live video may lag: a decoder with a larger backlog skips to a keyframe, and the processor
    /// gets no frame that arrived longer ago than this while a newer one is waiting. Only for
    /// [`Queueing::Latest`]. Default: 1 s.
    pub max_latency: Duration,
    /// How many decoded frames may wait for the processor with any [`queueing`](Self::queueing). Beyond that,
    /// the oldest is dropped, or, in a lossless stream, the decoder waits. Default: 30.
    pub max_queue_size: usize,
    /// A stream whose input brings neither video nor audio for this long ends, whatever the reason, so it
    /// must be longer than any server outage that a source should survive. `None` waits for ever. Default: 60
    /// s.
    pub input_timeout: Option<Duration>,
    /// The time between output segments, and therefore between IDR frames. Default: 1 s.
    pub segment_duration: Duration,
    /// Output video bits per second; `None` chooses by size and frame rate.
    pub bitrate: Option<u32>,
    /// How output video is coded.
    pub coding: Coding,
    /// The codec of output audio.
    pub audio: AudioOutput,
    /// The backends for decoding and encoding: those of this build, and any that were added.
    pub backends: Backends,
    /// The device for tensors.
    pub device: Device,
    /// Why that is not the requested GPU.
    pub device_fallback: Option<String>,
    /// The worker's kind of pipeline, as named in its status events.
    pub pipeline: String,
    /// Whether streams with an events channel send their whole status with each heartbeat. It replaces
    /// everything that a gateway shows of the worker.
    pub status_events: bool,
    /// How long ending a stream may take before the rest is abandoned. Default: 5 s.
    pub stop_deadline: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            target_fps: None,
            queueing: Queueing::default(),
            max_latency: Duration::from_secs(1),
            max_queue_size: 30,
            input_timeout: Some(Duration::from_secs(60)),
            segment_duration: Duration::from_secs(1),
            bitrate: None,
            coding: Coding::default(),
            audio: AudioOutput::Source,
            backends: Backends::builtin(),
            device: Device::Cpu,
            device_fallback: None,
            pipeline: "live-video-to-video".into(),
            status_events: false,
            stop_deadline: Duration::from_secs(5),
        }
    }
}
