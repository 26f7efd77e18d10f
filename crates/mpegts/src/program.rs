//! The selected program: its tracks, and the list of all elementary streams. Parsing the PMT is in `psi`.

use cutrickle_media::Codec;

use crate::listing::ElementaryStream;

/// One elementary stream as the PMT announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// The packet identifier, 0x0010 to 0x1FFE.
    pub pid: u16,
    /// The stream's codec.
    pub codec: Codec,
    /// The number of channels given by the extension descriptor of an Opus stream. `None` for other codecs,
    /// and if the descriptor is missing or describes its channel layout explicitly.
    pub opus_channels: Option<u8>,
}

/// The selected program, and everything else the input announces.
///
/// Among several programs, the first that has video is selected; among its tracks, the first video and the
/// first audio track of a known codec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The number of the selected program.
    pub number: u16,
    /// The selected tracks, in the PMT's order. A listed track does not necessarily carry any unit.
    pub tracks: Vec<Track>,
    /// Every elementary stream of every program whose PMT was received, including the selected ones.
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
