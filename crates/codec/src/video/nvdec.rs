//! H.264 and H.265 by the GPU's decoder. Pictures stay in the device's memory.
//!
//! What the GPU does not decode (4:2:2, sizes beyond its own, no decoder left) is decoded on the host from then on, and
//! said so.

use candle_core::Device;
use cutrickle_cuda::nvdec::{Codec, Decoded, Decoder, Target};
use cutrickle_error::chain;
use cutrickle_frame::{Colour, VideoFrame};

use crate::video::reorder::Reorder;
use crate::video::sps::Sps;
use crate::video::{h265, nal};
use crate::{Error, Result, VideoCodec, VideoDecoder, VideoUnit};

/// The backend's name, as in the status.
pub const BACKEND: &str = "nvdec";

/// A decoder for one stream. It follows changes of size and format by itself.
pub struct NvdecDecoder {
    decoder: Decoder,
    codec: VideoCodec,
    device: Device,
    reorder: Reorder,
    /// What the stream's last sequence parameter set said of how far it reorders; none before the first.
    depth: Option<Option<usize>>,
    /// A keyframe was decoded whole; before that, pictures are guesses.
    started: bool,
}

impl NvdecDecoder {
    /// A decoder on `device` that waits for the first keyframe.
    ///
    /// # Errors
    /// A device that is none of CUDA's, no driver, or a GPU that does not decode this codec.
    pub fn new(codec: VideoCodec, device: &Device) -> Result<Self> {
        let gpu = cutrickle_frame::gpu(device)?;
        let on_device = match codec {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::H265 => Codec::H265,
        };
        let decoder = Decoder::new(&gpu, on_device).map_err(failed)?;
        let reorder = Reorder::new();
        Ok(Self { decoder, codec, device: device.clone(), reorder, depth: None, started: false })
    }

    /// Reads how far the stream reorders. Tells whether the unit begins anew: all pictures before it are shown before it.
    fn survey(&mut self, data: &[u8]) -> bool {
        let mut anew = false;
        for unit in nal::units(data) {
            let (described, slice) = match self.codec {
                VideoCodec::H264 => match nal::kind(unit) {
                    nal::SPS => (Sps::parse(unit).map(|sps| sps.reorder), None),
                    kind @ nal::SLICE..=nal::IDR_SLICE => (None, Some(kind == nal::IDR_SLICE)),
                    _ => continue,
                },
                VideoCodec::H265 => match h265::kind(unit) {
                    h265::SPS => (h265::reorder_depth(unit).map(Some), None),
                    kind if h265::is_slice(kind) => (None, Some(h265::is_idr(kind))),
                    _ => continue,
                },
            };
            if let Some(depth) = described
                && self.depth != Some(depth)
            {
                self.depth = Some(depth);
                anew = true;
            }
            if let Some(idr) = slice {
                return anew || idr;
            }
        }
        anew
    }

    fn frame(&self, decoded: Decoded, timestamp: i64) -> Result<VideoFrame> {
        let Decoded { picture, signal } = decoded;
        let colour = Colour::from_vui(
            signal.matrix,
            signal.primaries,
            signal.transfer,
            signal.full_range,
            picture.height(),
        );
        Ok(VideoFrame::from_picture(picture, colour, timestamp, self.device.clone())?)
    }
}

impl VideoDecoder for NvdecDecoder {
    fn decode(&mut self, unit: &VideoUnit<'_>, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        if unit.data.is_empty() || !(self.started || unit.keyframe) {
            return Ok(());
        }
        if self.survey(unit.data) {
            self.reorder.drain(out);
            self.reorder.set_depth(self.depth.flatten());
        }
        // The last of a unit's pictures is the unit's; one before it would be a guess at a lost one.
        let mut decoded = None;
        let result = self.decoder.decode(unit.data, unit.keyframe, &mut |picture| decoded = Some(picture));
        if let Err(e) = result {
            self.started = false;
            return Err(failed(e).at(unit.timestamp));
        }
        if unit.keyframe && unit.damaged {
            self.started = false;
            return Err(Error::failed(format!("a damaged keyframe at timestamp {}", unit.timestamp)));
        }
        self.started = true;
        if let Some(decoded) = decoded {
            let frame = self.frame(decoded, unit.timestamp)?;
            self.reorder.push(frame, out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.reorder.drain(out);
        Ok(())
    }

    fn scale_to(&mut self, size: Option<(u32, u32)>) {
        self.decoder.scale_to(size.map(|(width, height)| Target { width, height }));
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

fn failed(e: cutrickle_cuda::Error) -> Error {
    if e.is_unsupported() || e.is_unavailable() {
        Error::unsupported("nvdec")
    } else {
        Error::failed("nvdec")
    }
    .because(e)
}

/// A decoder on the GPU, and on the host what the GPU does not decode.
pub(crate) struct GpuFirst {
    decoder: Box<dyn VideoDecoder>,
    codec: VideoCodec,
    size: Option<(u32, u32)>,
    on_host: bool,
}

impl GpuFirst {
    /// Opens whichever there is.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn open(codec: VideoCodec, device: &Device) -> Result<Self> {
        match NvdecDecoder::new(codec, device) {
            Ok(decoder) => Ok(Self { decoder: Box::new(decoder), codec, size: None, on_host: false }),
            Err(e) => {
                tracing::warn!("decoding {codec:?} on the host: {}", chain(&e));
                let decoder = crate::open::host_video_decoder(codec)?;
                Ok(Self { decoder, codec, size: None, on_host: true })
            }
        }
    }
}

impl VideoDecoder for GpuFirst {
    fn decode(&mut self, unit: &VideoUnit<'_>, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        let result = self.decoder.decode(unit, out);
        match result {
            Err(e) if e.is_unsupported() && !self.on_host => {
                let codec = self.codec;
                tracing::warn!("decoding {codec:?} on the host from now on: {}", chain(&e));
                self.decoder = crate::open::host_video_decoder(codec)?;
                self.on_host = true;
                self.decoder.scale_to(self.size);
                self.decoder.decode(unit, out)
            }
            result => result,
        }
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.decoder.flush(out)
    }

    fn scale_to(&mut self, size: Option<(u32, u32)>) {
        self.size = size;
        self.decoder.scale_to(size);
    }

    fn backend(&self) -> &'static str {
        self.decoder.backend()
    }
}
