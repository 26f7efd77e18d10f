//! What can be wrong with what the muxer is given. Input streams never give an error: see the demuxer's
//! statistics and losses.

use crate::codec::{Codec, TrackKind};

/// The result of this crate's fallible operations.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the muxer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    NoTrack,
    WrongCodec(TrackKind, Codec),
    UnknownTrack(TrackKind),
    Empty(TrackKind, i64),
    TooLarge(TrackKind, i64, usize),
}

impl Error {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self(kind)
    }

    /// The program has no track, or a track's codec is not of its kind.
    pub const fn is_bad_program(&self) -> bool {
        matches!(self.0, Kind::NoTrack | Kind::WrongCodec(..))
    }

    /// The program has no such track.
    pub const fn is_unknown_track(&self) -> bool {
        matches!(self.0, Kind::UnknownTrack(_))
    }

    /// The unit has no bytes.
    pub const fn is_empty_unit(&self) -> bool {
        matches!(self.0, Kind::Empty(..))
    }

    /// The unit does not fit a PES packet.
    pub const fn is_too_large(&self) -> bool {
        matches!(self.0, Kind::TooLarge(..))
    }
}

impl std::fmt::Display for TrackKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::NoTrack => f.write_str("a program needs a video or an audio track"),
            Kind::WrongCodec(track, codec) => write!(f, "{codec} is no {track} codec"),
            Kind::UnknownTrack(track) => write!(f, "the program has no {track} track"),
            Kind::Empty(track, pts) => write!(f, "the {track} unit with pts {pts} is empty"),
            Kind::TooLarge(track, pts, size) => {
                write!(f, "the {track} unit with pts {pts} has {size} bytes, too many for one PES packet")
            }
        }
    }
}

impl std::error::Error for Error {}
