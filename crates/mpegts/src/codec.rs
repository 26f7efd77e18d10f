//! What a program carries: codecs, tracks, and the list of them. How a PMT spells it is in `psi`.

use crate::listing::ElementaryStream;

/// The codecs that live gateways send and expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 / AVC in Annex B byte-stream format, stream type 0x1B.
    H264,
    /// H.265 / HEVC in Annex B byte-stream format, stream type 0x24.
    H265,
    /// AAC in ADTS frames, stream type 0x0F.
    Aac,
    /// Opus, stream type 0x06 with the registration descriptor `Opus`.
    Opus,
}

impl Codec {
    /// Whether this is a picture codec.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265)
    }

    /// Whether this is a sound codec.
    pub const fn is_audio(self) -> bool {
        !self.is_video()
    }

    /// Which of a session's two tracks this codec belongs to.
    pub const fn kind(self) -> TrackKind {
        if self.is_video() { TrackKind::Video } else { TrackKind::Audio }
    }

    /// The usual short name in lower case: `h264`, `hevc`, `aac`, `opus`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "hevc",
            Self::Aac => "aac",
            Self::Opus => "opus",
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Picture or sound. A live session has at most one track of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// The picture track.
    Video,
    /// The sound track.
    Audio,
}

/// One elementary stream as the PMT announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// The packet identifier, 0x0010 to 0x1FFE.
    pub pid: u16,
    /// What the stream carries.
    pub codec: Codec,
    /// Opus only: how many channels the extension descriptor's channel configuration code stands for.
    /// `None` for other codecs, and where the descriptor is missing or its layout is spelt out.
    pub opus_channels: Option<u8>,
}

/// What of the input is taken, and everything that it names.
///
/// Of several programs the first that has pictures is taken, of its tracks the first picture and the first sound
/// track of a known codec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The number of the program that is taken.
    pub number: u16,
    /// The tracks that are taken, in the PMT's order; naming one does not promise that it ever carries a unit.
    pub tracks: Vec<Track>,
    /// Every elementary stream of every program whose PMT has come, those among them that are taken.
    pub streams: Vec<ElementaryStream>,
}

impl Program {
    /// The picture track.
    pub fn video(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.codec.is_video())
    }

    /// The sound track.
    pub fn audio(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.codec.is_audio())
    }
}
