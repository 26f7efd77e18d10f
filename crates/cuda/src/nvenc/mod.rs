//! The GPU's video encoder (NVENC).
//!
//! An [`Encoder`] is one session: ultra-low-latency tuning, no B-frames, no look-ahead, parameter sets before every IDR
//! picture, IDR pictures only where they are asked for. Its input is a [`Picture`] that is registered once and filled on
//! the device's stream, which NVENC is told about (`nvEncSetIOCudaStreams`): nothing is waited for before the finished
//! bitstream is taken.
//!
//! Not every GPU has one (A100, H100 and H200 do not), and drivers allow so many sessions and no more. Both are errors of
//! their own, at which a pipeline takes another encoder.

mod api;
mod config;
mod session;

use std::sync::Arc;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{GUID, NV_ENC_CODEC_H264_GUID, NV_ENC_CODEC_HEVC_GUID};

use cutrickle_media::{Colour, VideoCodec};

use crate::{Error, Gpu, Picture, Result};

use session::Session;

/// What the library calls a codec: H.264 in High profile, H.265 in Main profile.
fn guid(codec: VideoCodec) -> GUID {
    match codec {
        VideoCodec::H264 => NV_ENC_CODEC_H264_GUID,
        VideoCodec::H265 => NV_ENC_CODEC_HEVC_GUID,
    }
}

/// How bits are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// So many bits a second, in every second.
    Constant(u32),
    /// So many bits a second on average, and so many at most.
    Variable {
        /// Bits a second on average.
        average: u32,
        /// Bits a second at most.
        most: u32,
    },
    /// The same quality everywhere: a target of 1 (best) to 51.
    Quality(u8),
}

/// What an encoder is opened with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Codec.
    pub codec: VideoCodec,
    /// Pixels in a row, even.
    pub width: u32,
    /// Rows, even.
    pub height: u32,
    /// Pictures a second to expect; for rate control.
    pub fps: f64,
    /// How bits are spent.
    pub rate: Rate,
    /// NVENC's preset: 1 (fastest) to 7 (best).
    pub preset: u8,
    /// Signalled in the VUI.
    pub colour: Colour,
}

/// An encoded picture, lent until the next.
#[derive(Debug)]
pub struct Encoded {
    /// Annex B byte stream. An IDR picture begins with its parameter sets.
    pub data: Vec<u8>,
    /// An IDR picture.
    pub keyframe: bool,
}

/// One session of a GPU's encoder.
pub struct Encoder {
    session: Session,
    config: Config,
}

impl Encoder {
    /// Opens a session on `gpu`.
    ///
    /// # Errors
    /// [`is_unavailable`](Error::is_unavailable) without the library, [`is_no_encoder`](Error::is_no_encoder) on a GPU
    /// without one, [`is_session_limit`](Error::is_session_limit) when no session is left;
    /// [`is_unsupported`](Error::is_unsupported) for a codec or a size that it does not take; an odd size, a frame rate
    /// or bitrate of 0, a preset that is none.
    pub fn open(gpu: &Arc<Gpu>, config: Config) -> Result<Self> {
        config.check()?;
        Ok(Self { session: Session::open(gpu, &config)?, config })
    }

    /// What the session is configured with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes rate and frame rate without a new session and without an IDR picture.
    ///
    /// # Errors
    /// As [`open`](Self::open); the session is as it was.
    pub fn change(&mut self, rate: Rate, fps: f64) -> Result<()> {
        let config = Config { rate, fps, ..self.config };
        config.check()?;
        self.session.reconfigure(&config)?;
        self.config = config;
        Ok(())
    }

    /// Encodes the picture that `fill` enqueues into the session's input, an NV12 picture of the configured size. Waits
    /// for the bitstream.
    ///
    /// # Errors
    /// `fill`'s; the library's.
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

/// Which codecs `gpu` encodes. Takes a session for a moment.
///
/// # Errors
/// As [`Encoder::open`].
pub fn codecs(gpu: &Arc<Gpu>) -> Result<Vec<VideoCodec>> {
    session::codecs(gpu)
}
