//! Encoding for live video: one pass, no B-frames, no skipped frames, and IDR frames only on request.

use std::ffi::{c_int, c_uint};
use std::ops::RangeInclusive;

use cutrickle_frame::VideoFrame;
use cutrickle_media::{AccessUnit, Size, VideoCodec};
use openh264_sys2::{
    CAMERA_VIDEO_REAL_TIME, CONSTANT_ID, LEVEL_UNKNOWN, LOW_COMPLEXITY, PRO_MAIN, RC_BITRATE_MODE,
    RC_OFF_MODE, SEncParamExt, SM_FIXEDSLCNUM_SLICE, VF_UNDEF,
};

use super::library;
use crate::{EncoderConfig, Error, RateControl, Result, VideoEncoder};

/// The smallest width and height that the library supports.
const SMALLEST: u32 = 16;
/// The number of slices in a picture, each encoded on its own thread.
const SLICES: u16 = 2;
/// With fewer lines, a slice is too small to be worth a thread.
const LINES_FOR_SLICES: u32 = 256;
/// The range of constant qualities, as NVENC counts them: H.264's quantisers without the lossless one.
const QUALITIES: RangeInclusive<u8> = 1..=51;
const TICKS_PER_MILLISECOND: i64 = 90;

/// An encoder for one size and colour.
pub(crate) struct H264Encoder {
    library: library::Encoder,
    config: EncoderConfig,
}

impl H264Encoder {
    /// Opens an encoder. If the width or height is odd, the last column or row is cut off, because 4:2:0
    /// needs even sizes.
    ///
    /// # Errors
    /// Fails with [`is_unsupported`](Error::is_unsupported) for another codec. Also fails if a side is below
    /// 16 pixels or beyond the library's limit of about 4096x2304, if the frame rate or bitrate is 0, or if
    /// the quality is out of range.
    pub(crate) fn new(config: EncoderConfig) -> Result<Self> {
        let (width, height) = even(&config);
        if width < SMALLEST || height < SMALLEST {
            return Err(Error::failed(format!(
                "a picture of {}: openh264 encodes from {SMALLEST}x{SMALLEST}",
                config.size
            )));
        }
        check_rate(config.fps, config.bitrate)?;
        if config.coding.codec != VideoCodec::H264 {
            let codec = config.coding.codec.title();
            return Err(Error::unsupported(format!("openh264 does not encode {codec}")));
        }
        if let RateControl::Quality(quality) = config.coding.rate
            && !QUALITIES.contains(&quality)
        {
            return Err(Error::failed(format!("a quality of {quality}: {QUALITIES:?} are possible")));
        }
        let library = library::Encoder::open(|params| set(params, &config))?;
        Ok(Self { library, config })
    }
}

impl VideoEncoder for H264Encoder {
    fn encode(&mut self, frame: &VideoFrame, idr: bool) -> Result<AccessUnit> {
        let (frame_size, size) = (Size::new(frame.width(), frame.height()), self.config.size);
        if frame_size != size {
            return Err(Error::failed(format!("a frame of {frame_size} for an encoder of {size}")));
        }
        let (picture, at) = (frame.i420()?, frame.timestamp());
        let milliseconds = at.ticks().div_euclid(TICKS_PER_MILLISECOND);
        match self.library.encode(&picture, even(&self.config), milliseconds, idr)? {
            Some((data, keyframe)) => Ok(AccessUnit::new(VideoCodec::H264, at, keyframe, data)),
            None => Err(Error::failed(format!("openh264 skipped the frame at {at}"))),
        }
    }

    fn set_rate(&mut self, fps: f64, bitrate: u32) -> Result<()> {
        check_rate(fps, bitrate)?;
        self.library.set_rate(fps as f32, c_int::try_from(bitrate).unwrap_or(c_int::MAX))?;
        self.config = EncoderConfig { fps, bitrate, ..self.config };
        Ok(())
    }

    fn config(&self) -> &EncoderConfig {
        &self.config
    }

    fn backend(&self) -> &'static str {
        super::backend()
    }
}

fn check_rate(fps: f64, bitrate: u32) -> Result<()> {
    if fps.is_finite() && fps > 0.0 && bitrate > 0 {
        return Ok(());
    }
    Err(Error::failed(format!("{fps} frames and {bitrate} bits per second")))
}

fn even(config: &EncoderConfig) -> (u32, u32) {
    (config.size.width & !1, config.size.height & !1)
}

/// Sets everything that differs from the library's defaults; the remaining layer settings follow from these.
fn set(params: &mut SEncParamExt, config: &EncoderConfig) {
    let (width, height) = even(config);
    let (width, height) = (width as c_int, height as c_int);
    let bitrate = c_int::try_from(config.bitrate).unwrap_or(c_int::MAX);
    let fps = config.fps as f32;
    let quantiser = match config.coding.rate {
        RateControl::Quality(quality) => Some(c_int::from(quality)),
        RateControl::Constant | RateControl::Variable => None,
    };
    let slices = if config.size.height < LINES_FOR_SLICES { 1 } else { SLICES };

    params.iUsageType = CAMERA_VIDEO_REAL_TIME;
    params.iComplexityMode = LOW_COMPLEXITY;
    params.iPicWidth = width;
    params.iPicHeight = height;
    params.fMaxFrameRate = fps;
    params.iTargetBitrate = bitrate;
    params.iRCMode = if quantiser.is_some() { RC_OFF_MODE } else { RC_BITRATE_MODE };
    params.bEnableFrameSkip = false;
    params.iEntropyCodingModeFlag = 1;
    params.iTemporalLayerNum = 1;
    params.iSpatialLayerNum = 1;
    params.iNumRefFrame = 1;
    params.iMultipleThreadIdc = slices;
    params.bUseLoadBalancing = false;
    // IDR frames are made only on request, together with their parameter sets.
    params.uiIntraPeriod = 0;
    params.eSpsPpsIdStrategy = CONSTANT_ID;
    params.bEnableSceneChangeDetect = false;
    params.bEnableDenoise = false;
    params.bEnableBackgroundDetection = false;
    params.bEnableAdaptiveQuant = false;

    let [layer, ..] = &mut params.sSpatialLayers;
    layer.iVideoWidth = width;
    layer.iVideoHeight = height;
    layer.fFrameRate = fps;
    layer.iDLayerQp = quantiser.unwrap_or(layer.iDLayerQp);
    layer.iSpatialBitrate = bitrate;
    // CABAC needs Main; High would announce an 8x8 transform that the library does not have.
    layer.uiProfileIdc = PRO_MAIN;
    layer.uiLevelIdc = LEVEL_UNKNOWN;
    layer.sSliceArgument.uiSliceMode = SM_FIXEDSLCNUM_SLICE;
    layer.sSliceArgument.uiSliceNum = c_uint::from(slices);
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = VF_UNDEF as u8;
    layer.bFullRange = config.colour.full_range;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = config.colour.primaries;
    layer.uiTransferCharacteristics = config.colour.transfer;
    layer.uiColorMatrix = config.colour.matrix_code();
}
