//! What this GPU's decoder can do.

use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, cudaVideoChromaFormat, cudaVideoSurfaceFormat_enum,
};

use cutrickle_media::VideoCodec;

use super::api::{self, Cuvid};
use crate::device::checked;
use crate::{Error, Gpu, Result};

/// What a GPU decodes of one codec, 4:2:0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Largest width in pixels.
    pub max_width: u32,
    /// Largest height.
    pub max_height: u32,
    /// Smallest width.
    pub min_width: u32,
    /// Smallest height.
    pub min_height: u32,
    /// Most macroblocks of 16x16 pixels.
    pub max_macroblocks: u32,
    /// Decoders on this GPU.
    pub engines: u32,
    /// Bits of a set of `cudaVideoSurfaceFormat` that pictures can come in.
    pub(super) formats: u16,
}

impl Capabilities {
    pub(super) fn allows(&self, format: cudaVideoSurfaceFormat_enum) -> bool {
        self.formats >> (format as u32) & 1 == 1
    }

    /// Whether pictures of this coded size can be decoded.
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
            codec.title(), self.min_width, self.min_height, self.max_width, self.max_height, self.max_macroblocks
        )))
    }
}

/// What `gpu` decodes of `codec`, 4:2:0 with `bits` a sample.
///
/// # Errors
/// [`is_unavailable`](Error::is_unavailable) without the library; [`is_unsupported`](Error::is_unsupported) for what this
/// GPU does not decode; the driver's.
pub fn capabilities(gpu: &Gpu, codec: VideoCodec, bits: u32) -> Result<Capabilities> {
    let api = Cuvid::get()?;
    gpu.bind()?;
    let mut caps = api::zeroed::<CUVIDDECODECAPS>();
    caps.eCodecType = api::codec(codec);
    caps.eChromaFormat = cudaVideoChromaFormat::cudaVideoChromaFormat_420;
    caps.nBitDepthMinus8 = bits.saturating_sub(8);
    // SAFETY: the library fills in the one struct; the device's context is current.
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
