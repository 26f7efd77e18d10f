//! One coded frame or packet on its way between a container and a codec.

use bytes::Bytes;

use crate::{AudioCodec, Codec, Timestamp, VideoCodec};

/// What never arrived, or arrived and could not be used. Both numbers are lower bounds, because not every
/// loss can be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Missing or unreadable packets of the transport.
    pub packets: u32,
    /// Access units that arrived in part and had to be dropped.
    pub units: u32,
}

/// One access unit of one track: a coded frame, or one packet of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// The number of the track within its container, such as a PID. It only tells tracks apart in messages.
    pub track: u32,
    /// Its codec.
    pub codec: Codec,
    /// When to present it.
    pub pts: Timestamp,
    /// When to decode it; never after `pts`. Equal to `pts` for audio, and for video without B-frames.
    pub dts: Timestamp,
    /// Whether decoding can start here. Always true for audio.
    pub keyframe: bool,
    /// What was lost on this track since the previous unit.
    pub loss: Option<Loss>,
    /// Whether part of this unit is missing.
    pub damaged: bool,
    /// Video: an Annex B byte stream. AAC: one ADTS frame with its header. Opus: one packet.
    pub data: Bytes,
}

impl AccessUnit {
    /// Creates a complete unit that is decoded and presented at `at`.
    pub fn new(codec: impl Into<Codec>, at: Timestamp, keyframe: bool, data: Bytes) -> Self {
        let codec = codec.into();
        Self { track: 0, codec, pts: at, dts: at, keyframe, loss: None, damaged: false, data }
    }

    /// Whether a decoder gets less than the encoder produced: something is missing in this unit or right
    /// before it.
    pub fn is_impaired(&self) -> bool {
        self.damaged || self.loss.is_some()
    }
}

/// The tracks of a stream, or of a segment of one: at most one of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracks {
    /// The video codec; `None` without a video track.
    pub video: Option<VideoCodec>,
    /// The audio codec; `None` without an audio track.
    pub audio: Option<AudioCodec>,
    /// The number of audio channels, if the container gives it.
    pub audio_channels: Option<u8>,
}
