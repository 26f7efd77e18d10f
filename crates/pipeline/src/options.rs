//! How streams are run: what a worker is configured with, once for all its streams.

use std::time::Duration;

use candle_core::Device;
use cutrickle_codec::{Backends, Coding};

/// Which codec audio leaves in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioOutput {
    /// The input's own: packets that the processor did not touch are sent on as they came.
    #[default]
    Source,
    /// Opus, which is all that WHEP viewers can hear.
    Opus,
}

/// Which frames a processor that is slower than its input is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Queueing {
    /// The newest: live video. A frame that waits is dropped when the one after it is due.
    #[default]
    Latest,
    /// Every frame, in order, while no more than [`StreamOptions::max_queue_size`] wait: live streams that are recorded.
    All,
    /// Every frame, in order, however long it takes: the source waits for the processor, and the encoder for the sink.
    /// For sources that can wait, such as files.
    Lossless,
}

/// How streams are run. Made from its default, and changed field by field.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Output frames per second, 1 to 60; frames beyond are left out by their timestamps. `None` keeps the
    /// input's rate.
    pub target_fps: Option<u32>,
    /// Which frames a processor that is slower than its input is given.
    pub queueing: Queueing,
    /// How far live video may fall behind: a decoder with more than this to do skips to a keyframe, and a processor is
    /// given no frame that arrived longer ago than this while a newer one waits. Only for
    /// [`Queueing::Latest`]. 1 s.
    pub max_latency: Duration,
    /// Decoded frames that may wait for the processor, whatever [`queueing`](Self::queueing) says; of more the oldest is
    /// dropped, unless nothing may be. 30.
    pub max_queue_size: usize,
    /// A stream whose input brings neither video nor audio for so long ends, whatever the reason: an outage of its server
    /// that a source is to outlast has to be shorter. `None` waits for ever. 60 s.
    pub input_timeout: Option<Duration>,
    /// Time from one output segment to the next, and so between IDR frames.
    pub segment_duration: Duration,
    /// Output video bits per second; `None` goes by size and rate.
    pub bitrate: Option<u32>,
    /// How output video is coded.
    pub coding: Coding,
    /// Which codec audio leaves in.
    pub audio: AudioOutput,
    /// What decodes and encodes: the backends of this build, and others that were added.
    pub backends: Backends,
    /// Where tensors are.
    pub device: Device,
    /// Why that is not the GPU that was wanted.
    pub device_fallback: Option<String>,
    /// What the worker does, as its status events name it.
    pub pipeline: String,
    /// Whether streams with an events channel send their whole status beside each heartbeat. It replaces all that a
    /// gateway shows of the worker.
    pub status_events: bool,
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
