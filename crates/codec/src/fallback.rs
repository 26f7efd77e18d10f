//! A decoder that switches to the next backend when the open one rejects its stream. A GPU's decoder rejects
//! 4:2:2, or a size beyond its limits, with the first unit and not when it is opened.

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Size, VideoCodec};

use crate::{Error, Result, VideoDecoder, VideoDecoderBackend};

/// Decodes with the first of several backends that accepts the stream.
pub(crate) struct FallbackDecoder {
    decoder: Box<dyn VideoDecoder>,
    /// The backends that have not been tried yet, the next one last.
    rest: Vec<VideoDecoderBackend>,
    codec: VideoCodec,
    device: Device,
    size: Option<Size>,
}

impl FallbackDecoder {
    /// Opens the first of `backends` that can be opened.
    ///
    /// # Errors
    /// Fails with the last backend's error, or with `is_unsupported` if there is no backend.
    pub(crate) fn open(
        mut backends: Vec<VideoDecoderBackend>,
        codec: VideoCodec,
        device: &Device,
    ) -> Result<Self> {
        backends.reverse();
        let refused = Error::unsupported(format!("this build has no decoder for {}", codec.title()));
        let decoder = next(&mut backends, codec, device, refused)?;
        Ok(Self { decoder, rest: backends, codec, device: device.clone(), size: None })
    }
}

/// Opens the next backend that can be opened. `refused` is the error of the previous one.
fn next(
    rest: &mut Vec<VideoDecoderBackend>,
    codec: VideoCodec,
    device: &Device,
    refused: Error,
) -> Result<Box<dyn VideoDecoder>> {
    let mut refused = refused;
    while let Some(backend) = rest.pop() {
        match backend.open(codec, device) {
            Ok(decoder) => return Ok(decoder),
            Err(e) => {
                tracing::warn!("{} does not decode {codec} here: {}", backend.name(), chain(&e));
                refused = e;
            }
        }
    }
    Err(refused)
}

impl VideoDecoder for FallbackDecoder {
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        loop {
            match self.decoder.decode(unit, origin, out) {
                Err(e) if e.is_unsupported() && !self.rest.is_empty() => {
                    let name = self.decoder.backend();
                    tracing::warn!("{name} does not decode this stream, another takes over: {}", chain(&e));
                    self.decoder = next(&mut self.rest, self.codec, &self.device, e)?;
                    self.decoder.scale_to(self.size);
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.decoder.flush(out)
    }

    fn scale_to(&mut self, size: Option<Size>) {
        self.size = size;
        self.decoder.scale_to(size);
    }

    fn backend(&self) -> &'static str {
        self.decoder.backend()
    }
}
