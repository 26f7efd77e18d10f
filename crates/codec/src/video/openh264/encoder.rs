//! Encoding for live video: one pass, no B-frames, no skipped frames, IDR frames where they are asked for.

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

/// The library's smallest picture.
const SMALLEST: u32 = 16;
/// A picture is cut into this many slices, each encoded on a thread of its own.
const SLICES: u16 = 2;
/// Below this many lines a slice has too little to do to be worth a thread.
const LINES_FOR_SLICES: u32 = 256;
/// Of a constant one, as NVENC counts them, and H.264's quantisers but for the lossless.
const QUALITIES: RangeInclusive<u8> = 1..=51;
const TICKS_PER_MILLISECOND: i64 = 90;

/// An encoder of one size and colour.
pub(crate) struct H264Encoder {
    library: library::Encoder,
    config: EncoderConfig,
}

impl H264Encoder {
    /// Opens an encoder. Of an odd width or height the last column or row is cut off: 4:2:0 has none to spare.
    ///
    /// # Errors
    /// [`is_unsupported`](Error::is_unsupported) for another codec; a side below 16 pixels or beyond the library's
    /// 4096x2304 or so; a frame rate or bitrate of 0; a quality that is none.
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

/// What differs from the library's defaults; the rest of a layer follows from the whole.
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
    // IDR frames come when they are asked for, with their parameter sets, and at no other time.
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
    // CABAC needs Main; High would promise an 8x8 transform that the library does not have.
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
