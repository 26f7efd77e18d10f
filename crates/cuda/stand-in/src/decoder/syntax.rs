//! What a stream says, of whichever codec: sequences, pictures to decode, pictures to show.

use std::collections::VecDeque;
use std::ffi::c_int;

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoChromaFormat};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use super::stream::Unit;
use super::{Codec, av1, h264, h265};

/// What the parser is to do next.
pub(super) enum Step {
    /// Tell of a sequence, if it is new.
    Sequence(Box<CUVIDEOFORMAT>),
    Picture(Box<Coded>),
    /// Display what is in a slot of the references (AV1's `show_existing_frame`).
    Show {
        slot: usize,
        timestamp: i64,
    },
}

/// A picture to decode.
pub(super) struct Coded {
    /// All but the surface and where the bytes are.
    pub(super) parameters: CUVIDPICPARAMS,
    /// Itself behind the parameter sets that it needs: a device has those as numbers.
    pub(super) bytes: Vec<u8>,
    /// Where slices begin in that.
    pub(super) slices: Vec<u32>,
    pub(super) timestamp: i64,
    /// Everything before it is displayed before it, and no reference lives on.
    pub(super) fresh: bool,
    pub(super) references: References,
    /// Its place in display order since the last fresh one.
    pub(super) order: i64,
    /// Pictures that may precede one in decoding order and follow it in display order.
    pub(super) reordered: usize,
    /// Whether it is displayed by itself.
    pub(super) shown: bool,
}

// SAFETY: the addresses in the parameters are null until the parser sets them, for the call that it hands them to.
unsafe impl Send for Coded {}

/// What becomes of the pictures that others refer to.
pub(super) enum References {
    /// The latest so many stay (H.264 without memory management commands, 8.2.5.3).
    Sliding { is_one: bool, most: usize },
    /// These stay, by their order; the picture itself until the next one's set (H.265, 8.3.2).
    Set(Vec<i64>),
    /// The picture goes to these of eight slots, a bit each (AV1, 7.20).
    Slots(u8),
}

/// A codec's way to say it.
pub(super) trait Syntax: Send {
    /// Takes the next unit: a NAL unit without its start code, or an OBU.
    fn unit(&mut self, unit: Unit, steps: &mut VecDeque<Step>);
    /// The picture whose slices came is complete.
    fn end_of_picture(&mut self, steps: &mut VecDeque<Step>);
    /// What came last is not continued.
    fn discontinuity(&mut self);
    /// The sequence that was told of last was not taken.
    fn refused(&mut self);
}

pub(super) fn of(codec: Codec) -> Box<dyn Syntax> {
    match codec {
        Codec::H264 => Box::new(h264::Stream::default()),
        Codec::H265 => Box::new(h265::Stream::default()),
        Codec::Av1 => Box::new(av1::Stream::default()),
    }
}

/// Sets size and shape of a sequence: coded, of which left, right, top and bottom are not shown.
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

/// By `chroma_format_idc` (H.264, table 6-1).
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
