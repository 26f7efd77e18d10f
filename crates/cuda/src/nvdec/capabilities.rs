//! The capabilities of a GPU's decoder.

use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, cudaVideoChromaFormat, cudaVideoSurfaceFormat_enum,
};

use cutrickle_media::VideoCodec;

use super::api::{self, Cuvid};
use crate::device::checked;
use crate::{Error, Gpu, Result};

/// What a GPU can decode of one codec in 4:2:0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest width in pixels.
    pub max_width: u32,
    /// The largest height in pixels.
    pub max_height: u32,
    /// The smallest width in pixels.
    pub min_width: u32,
    /// The smallest height in pixels.
    pub min_height: u32,
    /// The maximum number of macroblocks of 16x16 pixels.
    pub max_macroblocks: u32,
    /// The number of decoders on this GPU.
    pub engines: u32,
    /// A bit set of the `cudaVideoSurfaceFormat` values that pictures can be returned in.
    pub(super) formats: u16,
}

impl Capabilities {
    pub(super) fn allows(&self, format: cudaVideoSurfaceFormat_enum) -> bool {
        self.formats >> (format as u32) & 1 == 1
    }

    /// Checks that pictures of this coded size can be decoded.
    pub(super) fn check(&self, codec: VideoCodec, width: u32, height: u32) -> Result<()> {
        let macroblocks = width.div_ceil(16).saturating_mul(height.div_ceil(16));
        if (self.min_width..=self.max_width).contains(&width)
            && (self.min_height..=self.max_height).contains(&height)
            && macroblocks <= self.max_macroblocks
        {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{} of {width}x{height}: this GPU decodes {}x{} to {}x{} and {} macroblocks",
            codec.title(),
            self.min_width,
            self.min_height,
            self.max_width,
            self.max_height,
            self.max_macroblocks
        )))
    }
}

/// Returns what `gpu` can decode of `codec` in 4:2:0 with `bits` bits a sample.
///
/// # Errors
/// The library is missing ([`is_unavailable`](Error::is_unavailable)), this GPU cannot decode the codec or
/// depth ([`is_unsupported`](Error::is_unsupported)), or a driver call fails.
pub fn capabilities(gpu: &Gpu, codec: VideoCodec, bits: u32) -> Result<Capabilities> {
    let api = Cuvid::get()?;
    gpu.bind()?;
    let mut caps = api::zeroed::<CUVIDDECODECAPS>();
    caps.eCodecType = api::codec(codec);
    caps.eChromaFormat = cudaVideoChromaFormat::cudaVideoChromaFormat_420;
    caps.nBitDepthMinus8 = bits.saturating_sub(8);
    // SAFETY: the library fills in this struct only, and the device's context is current.
    checked("cuvidGetDecoderCaps", unsafe { (api.get_capabilities)(&mut caps) })?;
    if caps.bIsSupported == 0 {
        return Err(Error::unsupported(format!("this GPU decodes no {bits}-bit {}", codec.title())));
    }
    Ok(Capabilities {
        max_width: caps.nMaxWidth,
        max_height: caps.nMaxHeight,
        min_width: caps.nMinWidth.into(),
        min_height: caps.nMinHeight.into(),
        max_macroblocks: caps.nMaxMBCount,
        engines: caps.nNumNVDECs.into(),
        formats: caps.nOutputFormatMask,
    })
}
