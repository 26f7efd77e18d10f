//! The supported codecs, and the kind of track each belongs to.

use std::fmt;
use std::str::FromStr;

/// A video codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// ITU-T H.264 (AVC), as an Annex B byte stream.
    H264,
    /// ITU-T H.265 (HEVC), as an Annex B byte stream.
    H265,
}

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC in ADTS frames (ISO/IEC 13818-7).
    Aac,
    /// Opus packets (RFC 6716).
    Opus,
}

/// The codec of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A video track.
    Video(VideoCodec),
    /// An audio track.
    Audio(AudioCodec),
}

/// Video or audio. A stream has at most one track of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// The video track.
    Video,
    /// The audio track.
    Audio,
}

impl VideoCodec {
    /// Every video codec.
    pub const ALL: [Self; 2] = [Self::H264, Self::H265];

    /// The usual short name in lower case: `h264` or `hevc`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "hevc",
        }
    }

    /// The name of the standard, for display: `H.264` or `H.265`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        }
    }
}

impl AudioCodec {
    /// Every audio codec.
    pub const ALL: [Self; 2] = [Self::Aac, Self::Opus];

    /// The usual short name in lower case: `aac` or `opus`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
        }
    }

    /// The codec's name, for display: `AAC` or `Opus`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Aac => "AAC",
            Self::Opus => "Opus",
        }
    }
}

impl Codec {
    /// H.264.
    pub const H264: Self = Self::Video(VideoCodec::H264);
    /// H.265.
    pub const H265: Self = Self::Video(VideoCodec::H265);
    /// AAC.
    pub const AAC: Self = Self::Audio(AudioCodec::Aac);
    /// Opus.
    pub const OPUS: Self = Self::Audio(AudioCodec::Opus);

    /// The kind of track that this codec belongs to.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Video(_) => TrackKind::Video,
            Self::Audio(_) => TrackKind::Audio,
        }
    }

    /// Whether this is a video codec.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Video(_))
    }

    /// Whether this is an audio codec.
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Audio(_))
    }

    /// The usual short name in lower case: `h264`, `hevc`, `aac`, `opus`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video(codec) => codec.name(),
            Self::Audio(codec) => codec.name(),
        }
    }
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Self {
        Self::Video(codec)
    }
}

impl From<AudioCodec> for Codec {
    fn from(codec: AudioCodec) -> Self {
        Self::Audio(codec)
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// A name that is not one of the known codecs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCodec(String);

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown codec `{}`", self.0)
    }
}

impl std::error::Error for UnknownCodec {}

impl FromStr for VideoCodec {
    type Err = UnknownCodec;

    /// Accepts `h264` or `avc`, and `h265` or `hevc`, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name.to_ascii_lowercase().as_str() {
            "h264" | "avc" => Ok(Self::H264),
            "h265" | "hevc" => Ok(Self::H265),
            _ => Err(UnknownCodec(name.to_owned())),
        }
    }
}

impl FromStr for AudioCodec {
    type Err = UnknownCodec;

    /// Accepts `aac` and `opus`, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name.to_ascii_lowercase().as_str() {
            "aac" => Ok(Self::Aac),
            "opus" => Ok(Self::Opus),
            _ => Err(UnknownCodec(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for codec in VideoCodec::ALL {
            assert_eq!(codec.name().parse(), Ok(codec));
            assert_eq!(Codec::from(codec).kind(), TrackKind::Video);
        }
        for codec in AudioCodec::ALL {
            assert_eq!(codec.name().parse(), Ok(codec));
            assert_eq!(Codec::from(codec).kind(), TrackKind::Audio);
        }
        assert_eq!("H265".parse(), Ok(VideoCodec::H265));
        assert_eq!("vp9".parse::<VideoCodec>().unwrap_err().to_string(), "unknown codec `vp9`");
    }
}
