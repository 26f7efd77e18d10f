//! H.264 and H.265 decoding on the GPU. Pictures stay in device memory.
//!
//! Input that the GPU cannot decode (4:2:2, sizes beyond its limits, no decoder left) is an error that says
//! so; the next backend of the table then takes over.

use candle_core::Device;
use cutrickle_cuda::nvdec::{Decoded, Decoder};
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Size, VideoCodec};

use crate::video::reorder::Reorder;
use crate::video::sps::Sps;
use crate::video::{h265, nal};
use crate::{Error, Result, VideoDecoder};

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "nvdec";

/// A decoder for one stream. It follows changes of size and format by itself.
pub(crate) struct NvdecDecoder {
    decoder: Decoder,
    codec: VideoCodec,
    device: Device,
    reorder: Reorder,
    /// The reordering depth given by the stream's last sequence parameter set; `None` before the first one.
    depth: Option<Option<usize>>,
    /// Whether a keyframe was decoded completely; pictures before that are guesses.
    started: bool,
}

impl NvdecDecoder {
    /// Creates a decoder on `device` that waits for the first keyframe.
    ///
    /// # Errors
    /// Fails if the device is not a CUDA device, if there is no driver, or if the GPU does not decode this
    /// codec.
    pub(crate) fn new(codec: VideoCodec, device: &Device) -> Result<Self> {
        let gpu = cutrickle_frame::gpu(device)?;
        let decoder = Decoder::new(&gpu, codec).map_err(|e| failed("nvdec", e))?;
        let reorder = Reorder::new();
        Ok(Self { decoder, codec, device: device.clone(), reorder, depth: None, started: false })
    }

    /// Reads the stream's reordering depth. Returns whether all earlier pictures are displayed before this
    /// unit.
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
}

impl VideoDecoder for NvdecDecoder {
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        if unit.data.is_empty() || !(self.started || unit.keyframe) {
            return Ok(());
        }
        if self.survey(&unit.data) {
            self.reorder.drain(out);
            self.reorder.set_depth(self.depth.flatten());
        }
        // A unit's picture is the last one it yields; any earlier one would be a guess at a lost picture.
        let mut decoded = None;
        let result = self.decoder.decode(&unit.data, unit.keyframe, &mut |picture| decoded = Some(picture));
        if let Err(e) = result {
            self.started = false;
            return Err(failed(format!("nvdec at {}", unit.pts), e));
        }
        if unit.keyframe && unit.is_impaired() {
            self.started = false;
            return Err(Error::failed(format!("a damaged keyframe at {}", unit.pts)));
        }
        self.started = true;
        if let Some(Decoded { picture, colour }) = decoded {
            let frame = VideoFrame::from_picture(picture, colour, unit.pts, self.device.clone())?;
            self.reorder.push(frame.of(origin), out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.reorder.drain(out);
        Ok(())
    }

    fn scale_to(&mut self, size: Option<Size>) {
        self.decoder.scale_to(size);
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

fn failed(what: impl Into<String>, e: cutrickle_cuda::Error) -> Error {
    let what = what.into();
    let refused = e.is_unsupported() || e.is_unavailable();
    if refused { Error::unsupported(what) } else { Error::failed(what) }.because(e)
}
