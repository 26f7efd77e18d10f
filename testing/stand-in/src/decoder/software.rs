//! The decoders on the CPU that stand in for the device's, and the samples that they produce.

use candle_core::Device;
use cutrickle_codec::{Backends, VideoDecoder};
use cutrickle_frame::Origin;
use cutrickle_media::{AccessUnit, Timestamp, VideoCodec};

use crate::settings::SETTINGS;
use crate::status::{Answer, Status};

/// A plane of samples without padding.
#[derive(Default)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<u16>,
}

/// The planes of a decoded 4:2:0 picture.
pub(super) struct Planes {
    /// Bits per sample.
    pub(super) depth: u32,
    pub(super) planes: [Plane; 3],
}

/// A decoder that returns every picture at once.
pub(super) trait Software: Send {
    /// Decodes one picture, whose bytes begin with the parameter sets that it needs.
    ///
    /// The flag says whether the picture was decoded without errors. If it is false, the planes may be
    /// missing or those of an earlier picture.
    fn decode(&mut self, bytes: &[u8], intra: bool) -> (Option<Planes>, bool);
}

/// Whether the simulated device decodes such streams.
pub(super) fn supports(codec: VideoCodec, depth: u32) -> bool {
    SETTINGS.decoder
        && match codec {
            VideoCodec::H264 => depth == 8,
            VideoCodec::H265 => cfg!(feature = "libavcodec") && matches!(depth, 8 | 10),
        }
}

pub(super) fn open(codec: VideoCodec) -> Answer<Box<dyn Software>> {
    match codec {
        VideoCodec::H264 => {
            let decoder = Backends::builtin()
                .open_video_decoder_named("openh264", codec, &Device::Cpu)
                .map_err(|_| Status::OUT_OF_MEMORY)?;
            Ok(Box::new(H264 { decoder, decoded: 0 }))
        }
        #[cfg(feature = "libavcodec")]
        VideoCodec::H265 => Ok(Box::new(super::libavcodec::Decoder::new()?)),
        #[cfg(not(feature = "libavcodec"))]
        VideoCodec::H265 => Err(Status::NOT_SUPPORTED),
    }
}

/// The project's own decoder.
struct H264 {
    decoder: Box<dyn VideoDecoder>,
    /// How many pictures have been decoded, which serves as the decoder's clock.
    decoded: i64,
}

impl Software for H264 {
    fn decode(&mut self, bytes: &[u8], intra: bool) -> (Option<Planes>, bool) {
        let mut frames = Vec::new();
        self.decoded += 1;
        let at = Timestamp::from_ticks(self.decoded);
        let unit = AccessUnit::new(VideoCodec::H264, at, intra, bytes.to_vec().into());
        let went = self.decoder.decode(&unit, Origin::now(), &mut |frame| frames.push(frame));
        // The engine needs each picture at once, in decoding order, so the decoder must not hold any back.
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
