//! Backends as a user adds them, with nothing but what the product shows: a decoder and an encoder of a toy format, in the place
//! of H.265, for which the product has neither without a GPU or ffmpeg.
//!
//! An access unit of the toy is a picture of one grey: width and height as big-endian u16, and its luma.
#![forbid(unsafe_code)]

use std::sync::Arc;

use bytes::Bytes;
use candle_core::Device;
use cutrickle_codec::{
    Backend, EncoderConfig, Error, Result, RunsOn, VideoDecoder, VideoDecoderBackend, VideoEncoder,
    VideoEncoderBackend,
};
use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Timestamp, VideoCodec};

/// The backends' name, as it stands in the status of a stream.
pub const NAME: &str = "toy";

/// The row for the decoder.
pub fn decoder() -> VideoDecoderBackend {
    let open = |_: VideoCodec, _: &Device| -> Result<Box<dyn VideoDecoder>> { Ok(Box::new(ToyDecoder)) };
    Backend::new(NAME, [VideoCodec::H265], RunsOn::Cpu, 1, Arc::new(open))
}

/// The row for the encoder.
pub fn encoder() -> VideoEncoderBackend {
    let open = |config: EncoderConfig, _: &Device| -> Result<Box<dyn VideoEncoder>> {
        Ok(Box::new(ToyEncoder { config }))
    };
    Backend::new(NAME, [VideoCodec::H265], RunsOn::Cpu, 1, Arc::new(open))
}

/// An access unit of the toy.
pub fn unit(width: u16, height: u16, luma: u8, at: Timestamp) -> AccessUnit {
    let mut data = Vec::from(width.to_be_bytes());
    data.extend(height.to_be_bytes());
    data.push(luma);
    AccessUnit::new(VideoCodec::H265, at, true, Bytes::from(data))
}

struct ToyDecoder;

impl VideoDecoder for ToyDecoder {
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        let [w1, w0, h1, h0, luma] = unit.data[..] else {
            let bytes = unit.data.len();
            return Err(Error::unsupported(format!("an access unit of {bytes} bytes is none of the toy's")));
        };
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        let mut picture = I420::new(width.into(), height.into())?;
        let [grey, ..] = picture.planes_mut();
        grey.data.fill(luma);
        out(VideoFrame::from_i420(picture, Colour::BT709, unit.pts).of(origin));
        Ok(())
    }

    fn flush(&mut self, _: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        Ok(())
    }

    fn backend(&self) -> &'static str {
        NAME
    }
}

struct ToyEncoder {
    config: EncoderConfig,
}

impl VideoEncoder for ToyEncoder {
    fn encode(&mut self, frame: &VideoFrame, _: bool) -> Result<AccessUnit> {
        let side =
            |side: u32| u16::try_from(side).map_err(|e| Error::failed("a side of a picture").because(e));
        let (width, height) = (side(frame.width())?, side(frame.height())?);
        let picture = frame.i420()?;
        let [grey, ..] = picture.planes();
        let luma = grey.data.first().copied().unwrap_or_default();
        Ok(unit(width, height, luma, frame.timestamp()))
    }

    fn set_rate(&mut self, fps: f64, bitrate: u32) -> Result<()> {
        self.config = EncoderConfig { fps, bitrate, ..self.config };
        Ok(())
    }

    fn config(&self) -> &EncoderConfig {
        &self.config
    }

    fn backend(&self) -> &'static str {
        NAME
    }
}
