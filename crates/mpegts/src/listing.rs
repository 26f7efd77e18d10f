//! What each elementary stream of a PMT carries, judged by stream type and descriptors. It covers streams
//! that are not supported as well, so that they can be listed. Which streams are selected is decided in
//! `programs`.

use cutrickle_media::Codec;

use crate::program::Track;

const REGISTRATION: u8 = 0x05;
const LANGUAGE: u8 = 0x0A;
const EXTENSION: u8 = 0x7F;

/// What kind of content an elementary stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
    /// Subtitles, teletext included.
    Subtitles,
    /// Anything else: cue messages, metadata, private data.
    Data,
}

/// Why the units of an elementary stream are not emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// Its codec is not one of [`Codec`], or it is neither video nor audio.
    Codec,
    /// The program has an earlier track of the same kind.
    Second,
    /// It belongs to a program other than the selected one.
    Program,
}

/// One elementary stream of the input, as listed in its PMT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementaryStream {
    /// The number of its program.
    pub program: u16,
    /// Its packet identifier.
    pub pid: u16,
    /// What kind of content it has.
    pub kind: ContentKind,
    /// The usual short name of its codec; [`Codec::name`] if it is one of those.
    pub codec: &'static str,
    /// The ISO 639-2 code of its language, in lower case.
    pub language: Option<String>,
    /// Why its units are not emitted; `None` if they are.
    pub ignored: Option<Ignored>,
}

/// An elementary stream, and the track it can be used as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: u16,
    pub(crate) kind: ContentKind,
    pub(crate) name: &'static str,
    pub(crate) language: Option<String>,
    pub(crate) track: Option<Track>,
}

/// The descriptor fields that are used.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    registration: Option<[u8; 4]>,
    language: Option<String>,
    opus_channels: Option<u8>,
    /// Given by the first descriptor that names a content.
    content: Option<(ContentKind, &'static str)>,
}

impl Descriptors {
    /// Reads descriptors up to the first malformed one.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut found = Self::default();
        while let [tag, size, rest @ ..] = bytes {
            let Some((data, rest)) = rest.split_at_checked(usize::from(*size)) else { break };
            found.take(*tag, data);
            bytes = rest;
        }
        found
    }

    fn take(&mut self, tag: u8, data: &[u8]) {
        use ContentKind::{Audio, Subtitles};
        let content = match (tag, data) {
            (REGISTRATION, [a, b, c, d, ..]) => {
                self.registration = Some([*a, *b, *c, *d]);
                None
            }
            // ISO/IEC 13818-1, 2.6.18.
            (LANGUAGE, [a, b, c, ..]) => {
                let code = [*a, *b, *c];
                if code.iter().all(u8::is_ascii_alphabetic) {
                    self.language =
                        Some(code.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect());
                }
                None
            }
            (EXTENSION, [0x80, 0, ..]) => {
                self.opus_channels = Some(2);
                None
            }
            (EXTENSION, [0x80, code @ 1..=8, ..]) => {
                self.opus_channels = Some(*code);
                None
            }
            // ETSI EN 300 468, tables 12 and 109, and annexes D, G and H.
            (0x56, _) => Some((Subtitles, "dvb_teletext")),
            (0x59, _) => Some((Subtitles, "dvb_subtitle")),
            (0x6A, _) => Some((Audio, "ac3")),
            (0x7A, _) => Some((Audio, "eac3")),
            (0x7B, _) | (EXTENSION, [0x0E, ..]) => Some((Audio, "dts")),
            (0x7C, _) => Some((Audio, "aac_latm")),
            (EXTENSION, [0x15, ..]) => Some((Audio, "ac4")),
            _ => None,
        };
        self.content = self.content.or(content);
    }

    /// Whether the program comes from a Blu-ray disc or camcorder, which give some stream types another
    /// meaning.
    pub(crate) fn is_hdmv(&self) -> bool {
        self.registration.is_some_and(|registration| &registration == b"HDMV")
    }
}

/// Returns what an elementary stream carries.
pub(crate) fn entry(stream_type: u8, pid: u16, descriptors: Descriptors, hdmv: bool) -> Entry {
    let codec = match stream_type {
        0x1B => Some(Codec::H264),
        0x24 => Some(Codec::H265),
        0x0F => Some(Codec::AAC),
        0x06 if descriptors.registration.is_some_and(|id| &id == b"Opus") => Some(Codec::OPUS),
        _ => None,
    };
    let opus_channels = descriptors.opus_channels.filter(|_| codec == Some(Codec::OPUS));
    let track = codec.map(|codec| Track { pid, codec, opus_channels });
    let (kind, name) = match codec {
        Some(codec) if codec.is_video() => (ContentKind::Video, codec.name()),
        Some(codec) => (ContentKind::Audio, codec.name()),
        None => content(stream_type, &descriptors, hdmv),
    };
    Entry { pid, kind, name, language: descriptors.language, track }
}

fn content(stream_type: u8, descriptors: &Descriptors, hdmv: bool) -> (ContentKind, &'static str) {
    use ContentKind::{Audio, Data, Subtitles, Video};
    match stream_type {
        // ISO/IEC 13818-1, table 2-34.
        0x01 => (Video, "mpeg1video"),
        0x02 => (Video, "mpeg2video"),
        0x03 | 0x04 => (Audio, "mp2 or mp3"),
        0x10 => (Video, "mpeg4"),
        0x11 => (Audio, "aac_latm"),
        0x15 => (Data, "timed_id3"),
        0x1C => (Audio, "aac"),
        0x1F | 0x20 => (Video, "h264 extension"),
        0x21 => (Video, "jpeg2000"),
        0x25 | 0x28..=0x2B => (Video, "hevc extension"),
        0x2D | 0x2E => (Audio, "mpegh_3d_audio"),
        0x32 => (Video, "jpegxs"),
        0x33 | 0x34 => (Video, "vvc"),
        0x35 => (Video, "evc"),
        // Blu-ray stream types (BD-ROM part 3), which ATSC and SCTE assign differently.
        0x80 if hdmv => (Audio, "pcm_bluray"),
        0x82 | 0x85 | 0x86 | 0xA2 if hdmv => (Audio, "dts"),
        0x83 if hdmv => (Audio, "truehd"),
        0x84 | 0xA1 if hdmv => (Audio, "eac3"),
        0x90 if hdmv => (Subtitles, "hdmv_pgs_subtitle"),
        0x92 if hdmv => (Subtitles, "hdmv_text_subtitle"),
        // ATSC A/52, annexes A and G; ANSI/SCTE 35, 8.1; SMPTE RP 227.
        0x81 => (Audio, "ac3"),
        0x87 => (Audio, "eac3"),
        0x86 => (Data, "scte_35"),
        0xEA => (Video, "vc1"),
        _ => descriptors.content.unwrap_or_else(|| registered(descriptors.registration)),
    }
}

/// The content given by the format identifier of a registration descriptor (ISO/IEC 13818-1, 2.6.8; the
/// identifiers are registered with the SMPTE RA).
fn registered(registration: Option<[u8; 4]>) -> (ContentKind, &'static str) {
    use ContentKind::{Audio, Data, Video};
    match registration.as_ref() {
        Some(b"AC-3") => (Audio, "ac3"),
        Some(b"EAC3") => (Audio, "eac3"),
        Some(b"AC-4") => (Audio, "ac4"),
        Some(b"DTS1" | b"DTS2" | b"DTS3") => (Audio, "dts"),
        Some(b"BSSD") => (Audio, "s302m"),
        Some(b"AV01") => (Video, "av1"),
        Some(b"VP09") => (Video, "vp9"),
        Some(b"VC-1") => (Video, "vc1"),
        Some(b"drac") => (Video, "dirac"),
        Some(b"KLVA") => (Data, "klv"),
        Some(b"ID3 ") => (Data, "timed_id3"),
        Some(b"CUEI") => (Data, "scte_35"),
        _ => (Data, "private data"),
    }
}
