//! What of the input is taken: tracks, and the list of them. How a PMT spells it is in `psi`.

use cutrickle_media::Codec;

use crate::listing::ElementaryStream;

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
/// Of several programs the first that has video is taken, of its tracks the first video and the first audio track
/// of a known codec.
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
    /// The video track.
    pub fn video(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.codec.is_video())
    }

    /// The audio track.
    pub fn audio(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.codec.is_audio())
    }
}
