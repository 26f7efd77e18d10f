//! H.264 and H.265 encoding on the GPU: turns a frame's pixels in device memory into a bitstream.

use candle_core::Device;
use cutrickle_cuda::nvenc::{self, Config, Encoder, Rate};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{AccessUnit, Size, VideoCodec};

use crate::{EncoderConfig, Error, RateControl, Result, VideoEncoder};

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "nvenc";

/// An encoder for one size and colour.
pub(crate) struct NvencEncoder {
    encoder: Encoder,
    config: EncoderConfig,
    device: Device,
}

impl NvencEncoder {
    /// Opens a session on `device`. If the width or height is odd, the last column or row is cut off.
    ///
    /// # Errors
    /// Fails with [`Error::is_unsupported`] if the GPU has no encoder, has no session left, or cannot encode
    /// such pictures; the message says which.
    pub(crate) fn new(config: EncoderConfig, device: &Device) -> Result<Self> {
        let gpu = cutrickle_frame::gpu(device)?;
        let encoder = Encoder::open(
            &gpu,
            Config {
                codec: config.coding.codec,
                width: config.size.width & !1,
                height: config.size.height & !1,
                fps: config.fps,
                rate: rate(config.coding.rate, config.bitrate),
                preset: config.coding.preset,
                colour: config.colour,
            },
        );
        Ok(Self { encoder: encoder.map_err(opening)?, config, device: device.clone() })
    }
}

impl VideoEncoder for NvencEncoder {
    fn encode(&mut self, frame: &VideoFrame, idr: bool) -> Result<AccessUnit> {
        let (frame_size, size) = (Size::new(frame.width(), frame.height()), self.config.size);
        if frame_size != size {
            return Err(Error::failed(format!("a frame of {frame_size} for an encoder of {size}")));
        }
        // A frame that a decoder or processor left in CPU memory is uploaded once; all others are on the
        // device already.
        let moved;
        let frame = if frame.device().same_device(&self.device) {
            frame
        } else {
            moved = frame.clone().to(&self.device)?;
            &moved
        };
        let timestamp = frame.timestamp();
        let mut unwritten = None;
        let encoded = self.encoder.encode(idr, timestamp.ticks().cast_unsigned(), |input| {
            frame.write_to(input).map_err(|e| {
                let text = e.to_string();
                unwritten = Some(e);
                cutrickle_cuda::Error::new(text)
            })
        });
        match (encoded, unwritten) {
            (Ok(encoded), _) => {
                let (codec, keyframe) = (self.config.coding.codec, encoded.keyframe);
                Ok(AccessUnit::new(codec, timestamp, keyframe, encoded.data.into()))
            }
            (Err(_), Some(e)) => Err(e.into()),
            (Err(e), None) => Err(Error::failed(format!("nvenc at {timestamp}")).because(e)),
        }
    }

    fn set_rate(&mut self, fps: f64, bitrate: u32) -> Result<()> {
        let changed = self.encoder.change(rate(self.config.coding.rate, bitrate), fps);
        changed.map_err(|e| Error::failed("nvenc's rate").because(e))?;
        self.config = EncoderConfig { fps, bitrate, ..self.config };
        Ok(())
    }

    fn config(&self) -> &EncoderConfig {
        &self.config
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

/// Checks whether the encoder of `device` supports `codec`.
///
/// # Errors
/// Fails with [`Error::is_unsupported`] if it does not, or if there is no encoder; the message says which.
pub(crate) fn check(codec: VideoCodec, device: &Device) -> Result<()> {
    let gpu = cutrickle_frame::gpu(device)?;
    let made = nvenc::codecs(&gpu).map_err(opening)?;
    if made.contains(&codec) {
        return Ok(());
    }
    let names: Vec<_> = made.into_iter().map(VideoCodec::title).collect();
    let (gpu, names) = (gpu.ordinal(), names.join(" and "));
    Err(Error::unsupported(format!("the encoder of cuda:{gpu} makes {names}, not {}", codec.title())))
}

fn rate(control: RateControl, bitrate: u32) -> Rate {
    match control {
        RateControl::Constant => Rate::Constant(bitrate),
        RateControl::Variable => Rate::Variable { average: bitrate, most: bitrate.saturating_mul(2) },
        RateControl::Quality(target) => Rate::Quality(target),
    }
}

fn opening(e: cutrickle_cuda::Error) -> Error {
    if e.is_unavailable() || e.is_unsupported() || e.is_no_encoder() || e.is_session_limit() {
        Error::unsupported("nvenc")
    } else {
        Error::failed("nvenc")
    }
    .because(e)
}
