//! How an encoder is to code, whatever its pictures are.

use cutrickle_media::VideoCodec;

/// How an encoder codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// What comes out. H.265 takes a GPU with an encoder for it.
    pub codec: VideoCodec,
    /// How bits are spent.
    pub rate: RateControl,
    /// The effort of a GPU's encoder: its presets P1 (fastest) to P7 (best). Encoders on the CPU have one only.
    pub preset: u8,
}

/// At its preset P3 NVENC looks better than openh264.
const PRESET: u8 = 3;

impl Default for Coding {
    /// H.264 at a constant bitrate.
    fn default() -> Self {
        Self { codec: VideoCodec::H264, rate: RateControl::Constant, preset: PRESET }
    }
}

/// How an encoder spends bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateControl {
    /// As many in each second.
    #[default]
    Constant,
    /// As many on average, up to twice as many in a second that needs them. Encoders on the CPU treat this as
    /// [`Constant`](Self::Constant).
    Variable,
    /// The same quality everywhere, from 1 (best) to 51, at whatever bitrate that takes.
    Quality(u8),
}
