//! One coded frame or packet on its way between a container and a codec.

use bytes::Bytes;

use crate::{AudioCodec, Codec, Timestamp, VideoCodec};

/// What never arrived, or arrived and could not be used. Both numbers are lower bounds: what is missing cannot always
/// be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets of the transport that are missing or unreadable.
    pub packets: u32,
    /// Access units of which a part arrived that had to be dropped.
    pub units: u32,
}

/// One access unit of one track: a coded picture, or one packet of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// The number of its track within its container, such as a PID. It tells tracks apart in messages, and nothing else.
    pub track: u32,
    /// What it is coded in.
    pub codec: Codec,
    /// When it is presented.
    pub pts: Timestamp,
    /// When it is decoded; never after `pts`. The same for audio, and for video without B-frames.
    pub dts: Timestamp,
    /// Whether decoding can start here. Always true for audio.
    pub keyframe: bool,
    /// What was lost of this track since the unit before it.
    pub loss: Option<Loss>,
    /// Whether something is missing inside of this unit.
    pub damaged: bool,
    /// Video: an Annex B byte stream. AAC: one ADTS frame with its header. Opus: one packet.
    pub data: Bytes,
}

impl AccessUnit {
    /// A whole unit that is presented when it is decoded, at `at`.
    pub fn new(codec: impl Into<Codec>, at: Timestamp, keyframe: bool, data: Bytes) -> Self {
        let codec = codec.into();
        Self { track: 0, codec, pts: at, dts: at, keyframe, loss: None, damaged: false, data }
    }

    /// Whether a decoder gets less than the encoder made: something is missing in this unit or right before it.
    pub fn is_impaired(&self) -> bool {
        self.damaged || self.loss.is_some()
    }
}

/// The tracks of a stream, or of a segment of one: at most one of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracks {
    /// What video is coded in; none without a video track.
    pub video: Option<VideoCodec>,
    /// What audio is coded in; none without an audio track.
    pub audio: Option<AudioCodec>,
    /// How many channels audio has, where the container says so.
    pub audio_channels: Option<u8>,
}
