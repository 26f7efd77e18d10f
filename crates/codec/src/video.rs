//! What every video decoder and encoder does.

use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Size, VideoCodec};

use crate::Result;

mod bits;
mod coding;
#[cfg(feature = "ffmpeg")]
pub(crate) mod ffmpeg;
#[cfg(any(test, feature = "cuda"))]
mod h265;
mod nal;
#[cfg(feature = "cuda")]
pub(crate) mod nvdec;
#[cfg(feature = "cuda")]
pub(crate) mod nvenc;
pub(crate) mod openh264;
mod reorder;
mod sps;

pub use coding::{Coding, RateControl};

/// The size that the parameter sets in an access unit give its pictures. Nothing where there are none, or for H.265.
pub fn picture_size(codec: VideoCodec, unit: &[u8]) -> Option<Size> {
    let mut units = nal::units(unit).filter(|_| codec == VideoCodec::H264);
    units.find(|unit| nal::kind(unit) == nal::SPS).and_then(sps::Sps::parse)?.size.map(Size::from)
}

/// Turns access units into frames.
pub trait VideoDecoder: Send {
    /// Decodes one access unit and hands every frame that became ready to `out`, in display order. Where the
    /// stream allows no reordering, that is this unit's frame, at once. A frame has the `pts` of its own unit, and the
    /// `origin` that was given with it.
    ///
    /// # Errors
    /// The unit could not be decoded, with its timestamp; the decoder can go on with the next keyframe. Input of a
    /// kind that this backend never decodes is [`crate::Error::is_unsupported`].
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Hands out what reordering holds back: the end of the stream, or a jump.
    ///
    /// # Errors
    /// As `decode`.
    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Asks for frames of this size, scaled and cropped around their centre, from the next keyframe on. A backend that
    /// cannot do that hands them out as they are.
    fn scale_to(&mut self, _size: Option<Size>) {}

    /// The backend's name, as in the status. It may change where one backend stands in for another.
    fn backend(&self) -> &'static str;
}

/// What an encoder is opened with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderConfig {
    /// The size of the frames, in pixels.
    pub size: Size,
    /// Frames per second to expect; rate control only, timestamps are the frames' own.
    pub fps: f64,
    /// Bits per second on average; without effect where the quality is constant.
    pub bitrate: u32,
    /// Codec, rate control, effort.
    pub coding: Coding,
    /// Signalled in the VUI.
    pub colour: Colour,
}

/// Turns frames into access units without B-frames and without delay.
pub trait VideoEncoder: Send {
    /// Encodes one frame of the configured size; `idr` asks for an IDR frame. A keyframe begins with its parameter sets.
    ///
    /// # Errors
    /// A frame of another size or whose pixels cannot be had; the backend's failure.
    fn encode(&mut self, frame: &VideoFrame, idr: bool) -> Result<AccessUnit>;

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
