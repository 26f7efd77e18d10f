//! What the parser learns from a stream of any codec: the sequences in it and the pictures to decode.

use std::collections::VecDeque;
use std::ffi::c_int;

use cutrickle_media::VideoCodec;
use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoChromaFormat};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use super::stream::Unit;
use super::{h264, h265};

/// What the parser has to do next.
pub(super) enum Step {
    /// Announce a sequence whose format differs from the last one's.
    Sequence(Box<CUVIDEOFORMAT>),
    /// Decode a picture.
    Picture(Box<Coded>),
}

/// A picture to decode.
pub(super) struct Coded {
    /// Complete except for the surface and the addresses of the bytes.
    pub(super) parameters: CUVIDPICPARAMS,
    /// The picture, preceded by the parameter sets that it needs. A device takes those from `parameters`; the
    /// decoders on the CPU want them in the stream.
    pub(super) bytes: Vec<u8>,
    /// The offsets in `bytes` at which slices begin.
    pub(super) slices: Vec<u32>,
    pub(super) timestamp: i64,
    /// Everything decoded earlier is displayed before this picture and is not referred to after it.
    pub(super) fresh: bool,
    pub(super) references: References,
    /// The picture's place in display order since the last fresh picture.
    pub(super) order: i64,
    /// How many pictures may precede another in decoding order and follow it in display order.
    pub(super) reordered: usize,
    /// Whether the picture is displayed at all.
    pub(super) shown: bool,
}

// SAFETY: the addresses in the parameters stay null until the parser sets them for the one call that it
// passes them to.
unsafe impl Send for Coded {}

/// Which pictures stay available as references.
pub(super) enum References {
    /// The latest `most` of them (H.264 without memory management commands, 8.2.5.3). `is_one` says whether
    /// this picture becomes a reference.
    Sliding { is_one: bool, most: usize },
    /// The ones with these orders; this picture stays until the next picture's set (H.265, 8.3.2).
    Set(Vec<i64>),
}

/// The syntax of one codec.
pub(super) trait Syntax: Send {
    /// Takes the next NAL unit.
    fn unit(&mut self, unit: Unit, steps: &mut VecDeque<Step>);
    /// Marks the picture whose slices were taken last as complete.
    fn end_of_picture(&mut self, steps: &mut VecDeque<Step>);
    /// Forgets what was taken last: the stream does not continue it.
    fn discontinuity(&mut self);
    /// Forgets the sequence that was announced last: the caller refused it.
    fn refused(&mut self);
}

pub(super) fn of(codec: VideoCodec) -> Box<dyn Syntax> {
    match codec {
        VideoCodec::H264 => Box::new(h264::Stream::default()),
        VideoCodec::H265 => Box::new(h265::Stream::default()),
    }
}

/// Sets the size and the aspect ratio of a sequence, given its coded size and how many columns and rows at
/// the left, right, top and bottom are not displayed.
pub(super) fn set_size(
    format: &mut CUVIDEOFORMAT,
    (width, height): (u32, u32),
    [left, right, top, bottom]: [u32; 4],
    sample_aspect: (u32, u32),
) {
    (format.coded_width, format.coded_height) = (width, height);
    format.display_area.left = left as c_int;
    format.display_area.top = top as c_int;
    format.display_area.right = width.saturating_sub(right) as c_int;
    format.display_area.bottom = height.saturating_sub(bottom) as c_int;
    let shown = (width.saturating_sub(left + right).max(1), height.saturating_sub(top + bottom).max(1));
    let aspect = (u64::from(shown.0 * sample_aspect.0), u64::from(shown.1 * sample_aspect.1));
    let common = gcd(aspect.0, aspect.1).max(1);
    format.display_aspect_ratio.x = (aspect.0 / common) as c_int;
    format.display_aspect_ratio.y = (aspect.1 / common) as c_int;
}

/// The chroma format of a `chroma_format_idc` (H.264, table 6-1).
pub(super) fn chroma_format(code: u32) -> cudaVideoChromaFormat {
    match code {
        0 => cudaVideoChromaFormat::cudaVideoChromaFormat_Monochrome,
        2 => cudaVideoChromaFormat::cudaVideoChromaFormat_422,
        3 => cudaVideoChromaFormat::cudaVideoChromaFormat_444,
        _ => cudaVideoChromaFormat::cudaVideoChromaFormat_420,
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
