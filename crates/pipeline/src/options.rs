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

/// How streams are run.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Output pictures per second, 1 to 60; pictures beyond are left out by their timestamps. `None` keeps the
    /// input's rate.
    pub target_fps: Option<u32>,
    /// Decoded pictures that may wait for the processor before the oldest is dropped.
    pub max_queue_size: usize,
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
            max_queue_size: 30,
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
