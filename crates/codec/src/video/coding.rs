//! Encoder settings that do not depend on the frames.

use cutrickle_media::VideoCodec;

/// How an encoder codes its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// The output codec. H.265 needs a GPU with an encoder for it.
    pub codec: VideoCodec,
    /// How bits are allocated.
    pub rate: RateControl,
    /// The preset of a GPU's encoder, from P1 (fastest) to P7 (best). Encoders on the CPU have only one.
    pub preset: u8,
}

/// At preset P3, NVENC looks better than openh264.
const PRESET: u8 = 3;

impl Default for Coding {
    /// H.264 at a constant bitrate.
    fn default() -> Self {
        Self { codec: VideoCodec::H264, rate: RateControl::Constant, preset: PRESET }
    }
}

/// How an encoder allocates bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateControl {
    /// The same bitrate in every second.
    #[default]
    Constant,
    /// The given bitrate on average, and up to twice as much in a second that needs it. Encoders on the CPU
    /// treat this as [`Constant`](Self::Constant).
    Variable,
    /// Constant quality from 1 (best) to 51, at whatever bitrate it takes.
    Quality(u8),
}
