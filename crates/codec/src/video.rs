//! What every video decoder and encoder does.

use bytes::Bytes;
use cutrickle_frame::{Colour, VideoFrame};

use crate::Result;

mod bits;
mod coding;
#[cfg(feature = "ffmpeg")]
pub mod ffmpeg;
#[cfg(any(test, feature = "cuda"))]
mod h265;
mod nal;
#[cfg(feature = "cuda")]
pub mod nvdec;
#[cfg(feature = "cuda")]
pub mod nvenc;
pub mod openh264;
mod reorder;
mod sps;

pub use coding::{Coding, RateControl};

/// A video codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// ITU-T H.264, Annex B byte stream.
    H264,
    /// ITU-T H.265, Annex B byte stream.
    H265,
}

/// Width and height in pixels that the parameter sets in an access unit give its pictures. Nothing where there are
/// none, or for H.265.
pub fn picture_size(codec: VideoCodec, unit: &[u8]) -> Option<(u32, u32)> {
    let mut units = nal::units(unit).filter(|_| codec == VideoCodec::H264);
    units.find(|unit| nal::kind(unit) == nal::SPS).and_then(sps::Sps::parse)?.size
}

/// One access unit for a decoder.
#[derive(Debug, Clone, Copy)]
pub struct VideoUnit<'a> {
    /// The access unit as an Annex B byte stream.
    pub data: &'a [u8],
    /// Presentation time in 90 kHz ticks.
    pub timestamp: i64,
    /// Decoding can start here.
    pub keyframe: bool,
    /// Something is missing inside this unit or was lost right before it.
    pub damaged: bool,
}

/// Turns access units into frames.
pub trait VideoDecoder: Send {
    /// Decodes one access unit and hands every frame that became ready to `out`, in display order. Where the
    /// stream allows no reordering, that is this unit's frame, at once.
    ///
    /// # Errors
    /// The unit could not be decoded, with its timestamp; the decoder can go on with the next keyframe. Input of a
    /// kind that this backend never decodes is [`crate::Error::is_unsupported`].
    fn decode(&mut self, unit: &VideoUnit<'_>, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Hands out what reordering holds back: the end of the stream, or a jump.
    ///
    /// # Errors
    /// As `decode`.
    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Asks for pictures of this size, scaled and cropped around their centre, from the next keyframe on. A backend that
    /// cannot do that hands them out as they are.
    fn scale_to(&mut self, _size: Option<(u32, u32)>) {}

    /// The backend's name, as in the status. It may change where one backend stands in for another.
    fn backend(&self) -> &'static str;
}

/// What an encoder is opened with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderConfig {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second to expect; rate control only, timestamps are the frames' own.
    pub fps: f64,
    /// Bits per second on average; of no account where quality is constant.
    pub bitrate: u32,
    /// Codec, rate control, effort.
    pub coding: Coding,
    /// Signalled in the VUI.
    pub colour: Colour,
}

/// One encoded access unit.
#[derive(Debug, Clone)]
pub struct EncodedVideo {
    /// What it is coded in, which is not what was asked for where an encoder stands in for another.
    pub codec: VideoCodec,
    /// Annex B byte stream. A keyframe begins with its parameter sets.
    pub data: Bytes,
    /// Presentation time in 90 kHz ticks; the decoding time is the same, there are no B-frames.
    pub timestamp: i64,
    /// An IDR picture.
    pub keyframe: bool,
}

/// Turns frames into access units without B-frames and without delay.
pub trait VideoEncoder: Send {
    /// Encodes one frame of the configured size; `idr` asks for an IDR picture.
    ///
    /// # Errors
    /// A frame of another size or whose pixels cannot be had; the backend's failure.
    fn encode(&mut self, frame: &VideoFrame, idr: bool) -> Result<EncodedVideo>;

    /// Changes the frames per second to expect and the bits per second on average, from the next frame on, without a new
    /// encoder.
    ///
    /// # Errors
    /// A rate of 0; the backend's. The encoder is as it was.
    fn set_rate(&mut self, fps: f64, bitrate: u32) -> Result<()>;

    /// What the encoder was opened with, at the rate that was last set. A frame that differs in size or colour needs another encoder.
    fn config(&self) -> &EncoderConfig;

    /// The backend's name, as in the status.
    fn backend(&self) -> &'static str;
}
