//! What decodes in the place of the device's decoder, and the samples that come of it.

use cutrickle_codec::video::openh264::H264Decoder;
use cutrickle_codec::{VideoDecoder, VideoUnit};

use super::Codec;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};

/// A plane of samples without padding.
#[derive(Default)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<u16>,
}

/// A decoded picture, 4:2:0.
pub(super) struct Planes {
    /// Bits of a sample.
    pub(super) depth: u32,
    pub(super) planes: [Plane; 3],
}

/// Decodes pictures, each with the parameter sets that it needs before it, and gives each at once.
pub(super) trait Software: Send {
    /// None, or an old one, where it could not be decoded: then the flag is false.
    fn decode(&mut self, bytes: &[u8], intra: bool) -> (Option<Planes>, bool);
}

/// Whether this device decodes such streams.
pub(super) fn supports(codec: Codec, depth: u32) -> bool {
    SETTINGS.decoder
        && match codec {
            Codec::H264 => depth == 8,
            Codec::H265 | Codec::Av1 => cfg!(feature = "libavcodec") && matches!(depth, 8 | 10),
        }
}

pub(super) fn open(codec: Codec) -> Answer<Box<dyn Software>> {
    match codec {
        Codec::H264 => {
            let decoder = H264Decoder::new().map_err(|_| Status::OUT_OF_MEMORY)?;
            Ok(Box::new(H264 { decoder, decoded: 0 }))
        }
        #[cfg(feature = "libavcodec")]
        codec => Ok(Box::new(super::libavcodec::Decoder::new(codec)?)),
        #[cfg(not(feature = "libavcodec"))]
        _ => Err(Status::NOT_SUPPORTED),
    }
}

/// The project's own.
struct H264 {
    decoder: H264Decoder,
    /// Pictures decoded so far: the decoder's clock.
    decoded: i64,
}

impl Software for H264 {
    fn decode(&mut self, bytes: &[u8], intra: bool) -> (Option<Planes>, bool) {
        let mut frames = Vec::new();
        self.decoded += 1;
        let unit = VideoUnit { data: bytes, timestamp: self.decoded, keyframe: intra, damaged: false };
        let went = self.decoder.decode(&unit, &mut |frame| frames.push(frame));
        // Nothing is held back: pictures come out as they are decoded.
        let flushed = self.decoder.flush(&mut |frame| frames.push(frame));
        let picture = frames.pop().and_then(|frame| frame.i420().ok());
        let planes = picture.map(|picture| Planes {
            depth: 8,
            planes: picture.planes().map(|plane| Plane {
                width: plane.width,
                height: plane.height,
                samples: plane
                    .data
                    .chunks(plane.stride)
                    .flat_map(|row| row.iter().take(plane.width).map(|sample| u16::from(*sample)))
                    .collect(),
            }),
        });
        let whole = went.is_ok() && flushed.is_ok() && planes.is_some();
        (planes, whole)
    }
}
