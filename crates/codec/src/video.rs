//! The interface of all video decoders and encoders.

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

/// Reads the picture size from the parameter sets in an access unit. Returns `None` if there are none, and
/// for H.265.
pub fn picture_size(codec: VideoCodec, unit: &[u8]) -> Option<Size> {
    let mut units = nal::units(unit).filter(|_| codec == VideoCodec::H264);
    units.find(|unit| nal::kind(unit) == nal::SPS).and_then(sps::Sps::parse)?.size.map(Size::from)
}

/// Turns access units into frames.
pub trait VideoDecoder: Send {
    /// Decodes one access unit and passes every frame that became ready to `out`, in display order. If the
    /// stream does not reorder, that is this unit's frame, at once. A frame has the `pts` of its own unit,
    /// and the `origin` that was passed with it.
    ///
    /// # Errors
    /// Fails, naming the timestamp, if the unit could not be decoded; the decoder can continue with the next
    /// keyframe. Input of a kind that this backend never decodes is [`crate::Error::is_unsupported`].
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Emits the frames held back for reordering, at the end of the stream or at a jump.
    ///
    /// # Errors
    /// Fails as `decode` does.
    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()>;

    /// Requests frames of this size, scaled and cropped around their centre, from the next keyframe on. A
    /// backend that cannot scale emits them as they are.
    fn scale_to(&mut self, _size: Option<Size>) {}

    /// The backend's name, as shown in the status. It may change when another backend takes over.
    fn backend(&self) -> &'static str;
}

/// The settings an encoder is opened with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderConfig {
    /// The size of the frames, in pixels.
    pub size: Size,
    /// The expected frames per second. Used only for rate control; frames keep their own timestamps.
    pub fps: f64,
    /// Average bits per second; has no effect with constant quality.
    pub bitrate: u32,
    /// Codec, rate control and preset.
    pub coding: Coding,
    /// Signalled in the VUI.
    pub colour: Colour,
}

/// Turns frames into access units, without B-frames and without delay.
pub trait VideoEncoder: Send {
    /// Encodes one frame of the configured size; `idr` requests an IDR frame. A keyframe begins with its
    /// parameter sets.
    ///
    /// # Errors
    /// Fails if the frame has another size, if its pixels cannot be read, or if the backend fails.
    fn encode(&mut self, frame: &VideoFrame, idr: bool) -> Result<AccessUnit>;

    /// Changes the expected frames per second and the average bits per second from the next frame on, without
    /// reopening the encoder.
    ///
    /// # Errors
    /// Fails if a rate is 0 or the backend fails; the encoder then keeps its previous rate.
    fn set_rate(&mut self, fps: f64, bitrate: u32) -> Result<()>;

    /// The settings the encoder was opened with, with the rate that was last set. A frame that differs in
    /// size or colour needs another encoder.
    fn config(&self) -> &EncoderConfig;

    /// The backend's name, as shown in the status.
    fn backend(&self) -> &'static str;
}
