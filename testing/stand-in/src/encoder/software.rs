//! The encoders on the CPU that do the work: openh264, through the project's own encoder, and libx265.

use candle_core::Device;
use cutrickle_codec::{Backends, VideoEncoder};
use cutrickle_frame::{I420, VideoFrame};
use cutrickle_media::{Ticks, Timestamp, VideoCodec};

use super::code;
use super::configuration::Configuration;
use crate::status::Answer;

/// An encoder without B-frames and without delay.
pub(super) trait Software: Send {
    /// Encodes the next frame. Returns an Annex B byte stream, with parameter sets before IDR pictures, and
    /// whether it holds an IDR picture.
    fn encode(&mut self, picture: I420, idr: bool) -> Option<(Vec<u8>, bool)>;
}

pub(super) fn open(configuration: &Configuration) -> Answer<Box<dyn Software>> {
    match configuration.encoder.coding.codec {
        VideoCodec::H264 => {
            let encoder = Backends::builtin()
                .open_video_encoder_named("openh264", configuration.encoder, &Device::Cpu)
                .map_err(|_| code::INVALID_PARAM)?;
            Ok(Box::new(Openh264 { encoder, frames: 0 }))
        }
        #[cfg(feature = "libavcodec")]
        VideoCodec::H265 => Ok(Box::new(super::x265::Encoder::new(configuration)?)),
        #[cfg(not(feature = "libavcodec"))]
        VideoCodec::H265 => Err(code::UNSUPPORTED_PARAM),
    }
}

struct Openh264 {
    encoder: Box<dyn VideoEncoder>,
    frames: i64,
}

impl Software for Openh264 {
    fn encode(&mut self, picture: I420, idr: bool) -> Option<(Vec<u8>, bool)> {
        let config = self.encoder.config();
        let ticks = (self.frames as f64 * Ticks::PER_SECOND.get() as f64 / config.fps) as i64;
        self.frames += 1;
        let frame = VideoFrame::from_i420(picture, config.colour, Timestamp::from_ticks(ticks));
        let encoded = self.encoder.encode(&frame, idr).ok()?;
        Some((encoded.data.to_vec(), encoded.keyframe))
    }
}

/// The NAL units of an access unit.
pub(super) fn units(data: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        data.windows(3).enumerate().filter(|(_, at)| *at == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    let unit = |(begin, end): (&usize, usize)| {
        let mut unit = &data[begin + 3..end];
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        unit
    };
    starts.iter().zip(ends).map(unit).collect()
}

/// Whether a NAL unit is a parameter set (H.264, table 7-1; H.265, table 7-1).
pub(super) fn is_parameter_set(codec: VideoCodec, unit: &[u8]) -> bool {
    let Some(header) = unit.first() else { return false };
    match codec {
        VideoCodec::H264 => matches!(header & 0x1f, 7 | 8),
        VideoCodec::H265 => matches!(header >> 1 & 0x3f, 32..=34),
    }
}

/// An access unit delimiter that allows slices of every type (H.264, 7.3.2.4; H.265, 7.3.2.5).
pub(super) fn delimiter(codec: VideoCodec) -> &'static [u8] {
    match codec {
        VideoCodec::H264 => &[0, 0, 0, 1, 9, 0xf0],
        VideoCodec::H265 => &[0, 0, 0, 1, 0x46, 1, 0x50],
    }
}
