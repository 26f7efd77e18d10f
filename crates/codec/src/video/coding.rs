//! How an encoder is to code, whatever its pictures are.

use crate::VideoCodec;

/// How an encoder codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// What comes out. Only a GPU's encoder has H.265.
    pub codec: VideoCodec,
    /// How bits are spent.
    pub rate: RateControl,
    /// The GPU's encoder's effort, its presets P1 (fastest) to P7 (best). The host's has one.
    pub preset: u8,
}

/// At its preset P3 NVENC looks better than the host's encoder at its fastest.
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
    /// As many on average, up to twice as many in a second that needs them. The host's encoder does what it does for
    /// [`Constant`](Self::Constant).
    Variable,
    /// The same quality everywhere, from 1 (best) to 51, at whatever bitrate that takes.
    Quality(u8),
}
