//! The GPU's video encoder (NVENC).
//!
//! An [`Encoder`] is one session, with ultra-low-latency tuning, no B-frames, no look-ahead, parameter sets
//! before every IDR picture, and IDR pictures only on request. Its input is a [`Picture`] that is registered
//! once and filled on the device's stream. NVENC is informed of this stream (`nvEncSetIOCudaStreams`), so
//! nothing has to wait until the finished bitstream is read.
//!
//! Not every GPU has an encoder (A100, H100 and H200 do not), and drivers limit the number of sessions. Both
//! cases have their own errors, so that a pipeline can choose another encoder.

mod api;
mod config;
mod session;

use std::sync::Arc;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{GUID, NV_ENC_CODEC_H264_GUID, NV_ENC_CODEC_HEVC_GUID};

use cutrickle_media::{Colour, VideoCodec};

use crate::{Error, Gpu, Picture, Result};

use session::Session;

/// Returns the library's identifier of a codec: H.264 in High profile, H.265 in Main profile.
fn guid(codec: VideoCodec) -> GUID {
    match codec {
        VideoCodec::H264 => NV_ENC_CODEC_H264_GUID,
        VideoCodec::H265 => NV_ENC_CODEC_HEVC_GUID,
    }
}

/// The rate control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// A constant rate in bits a second.
    Constant(u32),
    /// A variable rate.
    Variable {
        /// The average in bits a second.
        average: u32,
        /// The maximum in bits a second.
        most: u32,
    },
    /// Constant quality, with a target from 1 (best) to 51.
    Quality(u8),
}

/// The configuration of an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The codec.
    pub codec: VideoCodec,
    /// The width in pixels, which must be even.
    pub width: u32,
    /// The height in pixels, which must be even.
    pub height: u32,
    /// The expected number of pictures a second, for rate control.
    pub fps: f64,
    /// The rate control.
    pub rate: Rate,
    /// NVENC's preset, from 1 (fastest) to 7 (best).
    pub preset: u8,
    /// The colour that the VUI signals.
    pub colour: Colour,
}

/// An encoded picture.
#[derive(Debug)]
pub struct Encoded {
    /// The Annex B byte stream. An IDR picture begins with its parameter sets.
    pub data: Vec<u8>,
    /// Whether this is an IDR picture.
    pub keyframe: bool,
}

/// A session of a GPU's encoder.
pub struct Encoder {
    session: Session,
    config: Config,
}

impl Encoder {
    /// Opens a session on `gpu`.
    ///
    /// # Errors
    /// The size is odd, the frame rate or bitrate is 0, or the preset does not exist. The library is missing
    /// ([`is_unavailable`](Error::is_unavailable)), the GPU has no encoder
    /// ([`is_no_encoder`](Error::is_no_encoder)), no session is left
    /// ([`is_session_limit`](Error::is_session_limit)), or the codec or size is not supported
    /// ([`is_unsupported`](Error::is_unsupported)).
    pub fn open(gpu: &Arc<Gpu>, config: Config) -> Result<Self> {
        config.check()?;
        Ok(Self { session: Session::open(gpu, &config)?, config })
    }

    /// Returns the session's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes the rate control and the frame rate without a new session and without an IDR picture.
    ///
    /// # Errors
    /// The same as for [`open`](Self::open). The session then keeps its configuration.
    pub fn change(&mut self, rate: Rate, fps: f64) -> Result<()> {
        let config = Config { rate, fps, ..self.config };
        config.check()?;
        self.session.reconfigure(&config)?;
        self.config = config;
        Ok(())
    }

    /// Encodes the picture that `fill` enqueues into the session's input, an NV12 picture of the configured
    /// size, and waits for the bitstream.
    ///
    /// # Errors
    /// `fill` or a call of the library fails.
    pub fn encode(
        &mut self,
        idr: bool,
        timestamp: u64,
        fill: impl FnOnce(&mut Picture) -> Result<()>,
    ) -> Result<Encoded> {
        self.session.encode(idr, timestamp, fill)
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        let bits = match self.rate {
            Rate::Constant(bits) => bits > 0,
            Rate::Variable { average, most } => 0 < average && average <= most,
            Rate::Quality(target) => (1..=51).contains(&target),
        };
        let size = self.width > 0
            && self.height > 0
            && self.width.is_multiple_of(2)
            && self.height.is_multiple_of(2);
        if size && bits && self.fps.is_finite() && self.fps > 0.0 && (1..=7).contains(&self.preset) {
            return Ok(());
        }
        Err(Error::new(format!("no encoder has a configuration like {self:?}")))
    }
}

/// Returns the codecs that `gpu` encodes. This occupies a session for a moment.
///
/// # Errors
/// The same as for [`Encoder::open`].
pub fn codecs(gpu: &Arc<Gpu>) -> Result<Vec<VideoCodec>> {
    session::codecs(gpu)
}
