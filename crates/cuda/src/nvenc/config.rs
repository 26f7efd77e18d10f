//! The configuration that a session is initialised with.

use std::mem::MaybeUninit;
use std::ptr;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    _NV_ENC_PARAMS_RC_MODE as RateMode, _NV_ENC_VUI_VIDEO_FORMAT as VideoFormat, GUID, NV_ENC_CONFIG,
    NV_ENC_CONFIG_H264_VUI_PARAMETERS, NV_ENC_CONFIG_VER, NV_ENC_H264_PROFILE_HIGH_GUID,
    NV_ENC_HEVC_PROFILE_MAIN_GUID, NV_ENC_INITIALIZE_PARAMS, NV_ENC_INITIALIZE_PARAMS_VER,
    NV_ENC_PRESET_CONFIG, NV_ENC_PRESET_CONFIG_VER, NV_ENC_PRESET_P1_GUID, NV_ENC_PRESET_P2_GUID,
    NV_ENC_PRESET_P3_GUID, NV_ENC_PRESET_P4_GUID, NV_ENC_PRESET_P5_GUID, NV_ENC_PRESET_P6_GUID,
    NV_ENC_PRESET_P7_GUID, NV_ENC_TUNING_INFO, NVENC_INFINITE_GOPLENGTH,
};

use cutrickle_media::VideoCodec;

use super::{Config, Rate, guid};

/// A preset's configuration with our changes. It is never moved or read as a whole, because the driver fills
/// it in and may use enum values that our header does not contain.
pub(super) struct Parameters {
    preset: Box<MaybeUninit<NV_ENC_PRESET_CONFIG>>,
}

pub(super) const TUNING: u32 = NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY as u32;

impl Parameters {
    /// Allocates memory for a preset's configuration, with the versions that the driver expects.
    pub(super) fn new() -> Self {
        let mut preset = Box::new(MaybeUninit::<NV_ENC_PRESET_CONFIG>::zeroed());
        let raw = preset.as_mut_ptr();
        // SAFETY: this writes two numbers to memory of this type.
        unsafe {
            (&raw mut (*raw).version).write(NV_ENC_PRESET_CONFIG_VER);
            (&raw mut (*raw).presetCfg.version).write(NV_ENC_CONFIG_VER);
        }
        Self { preset }
    }

    /// Returns the memory that the driver fills in.
    pub(super) fn preset(&mut self) -> *mut MaybeUninit<NV_ENC_PRESET_CONFIG> {
        &raw mut *self.preset
    }

    fn config(&mut self) -> *mut NV_ENC_CONFIG {
        // SAFETY: this takes an address within memory of this type.
        unsafe { &raw mut (*self.preset.as_mut_ptr()).presetCfg }
    }

    /// Sets everything that differs from the preset.
    pub(super) fn set(&mut self, config: &Config) {
        let raw = self.config();
        // SAFETY: `raw` is valid, and each field is a number, an enum that is written and not read, or a bit
        // field of numbers. The union's variant that is written is the one that the codec's GUID selects.
        unsafe {
            (*raw).gopLength = NVENC_INFINITE_GOPLENGTH;
            // No B-frames: each picture refers to the previous one.
            (*raw).frameIntervalP = 1;
            let rc = &raw mut (*raw).rcParams;
            let (mode, average, most, quality) = match config.rate {
                Rate::Constant(bits) => (RateMode::NV_ENC_PARAMS_RC_CBR, bits, bits, 0),
                Rate::Variable { average, most } => (RateMode::NV_ENC_PARAMS_RC_VBR, average, most, 0),
                Rate::Quality(quality) => (RateMode::NV_ENC_PARAMS_RC_VBR, 0, 0, quality),
            };
            (&raw mut (*rc).rateControlMode).write(mode);
            (*rc).averageBitRate = average;
            (*rc).maxBitRate = most;
            (*rc).targetQuality = quality;
            // A buffer of a few pictures, so that no picture takes so many bits that the following ones are
            // late.
            let buffer = (f64::from(average) / config.fps * BUFFERED_PICTURES) as u32;
            (*rc).vbvBufferSize = buffer;
            (*rc).vbvInitialDelay = buffer;
            (*rc).set_enableLookahead(0);
            (*rc).set_zeroReorderDelay(1);
            match config.codec {
                VideoCodec::H264 => {
                    (&raw mut (*raw).profileGUID).write(NV_ENC_H264_PROFILE_HIGH_GUID);
                    let h264 = &raw mut (*raw).encodeCodecConfig.h264Config;
                    (*h264).set_repeatSPSPPS(1);
                    (*h264).set_outputAUD(0);
                    (*h264).idrPeriod = NVENC_INFINITE_GOPLENGTH;
                    set_colour(&raw mut (*h264).h264VUIParameters, config);
                }
                VideoCodec::H265 => {
                    (&raw mut (*raw).profileGUID).write(NV_ENC_HEVC_PROFILE_MAIN_GUID);
                    let hevc = &raw mut (*raw).encodeCodecConfig.hevcConfig;
                    (*hevc).set_repeatSPSPPS(1);
                    (*hevc).set_outputAUD(0);
                    (*hevc).idrPeriod = NVENC_INFINITE_GOPLENGTH;
                    set_colour(&raw mut (*hevc).hevcVUIParameters, config);
                }
            }
        }
    }

    /// Returns the parameters of `nvEncInitializeEncoder` and `nvEncReconfigureEncoder`, which refer to this
    /// configuration.
    pub(super) fn initialize(&mut self, config: &Config) -> NV_ENC_INITIALIZE_PARAMS {
        let (numerator, denominator) = rational(config.fps);
        // SAFETY: numbers, addresses, and enums that have a variant 0.
        let mut parameters: NV_ENC_INITIALIZE_PARAMS = unsafe { std::mem::zeroed() };
        parameters.version = NV_ENC_INITIALIZE_PARAMS_VER;
        parameters.encodeGUID = guid(config.codec);
        parameters.presetGUID = preset(config.preset);
        parameters.encodeWidth = config.width;
        parameters.encodeHeight = config.height;
        parameters.darWidth = config.width;
        parameters.darHeight = config.height;
        parameters.maxEncodeWidth = config.width;
        parameters.maxEncodeHeight = config.height;
        parameters.frameRateNum = numerator;
        parameters.frameRateDen = denominator;
        // The library chooses the picture types, which are all P unless IDR is forced.
        parameters.enablePTD = 1;
        parameters.tuningInfo = NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY;
        parameters.encodeConfig = self.config();
        parameters
    }
}

const BUFFERED_PICTURES: f64 = 4.0;

/// # Safety
/// `vui` must be valid for writes.
unsafe fn set_colour(vui: *mut NV_ENC_CONFIG_H264_VUI_PARAMETERS, config: &Config) {
    let colour = &config.colour;
    // SAFETY: the caller guarantees it. The three code points are C enums with the numbers of H.273. They are
    // written as numbers, and nothing here reads them as enums.
    unsafe {
        (*vui).videoSignalTypePresentFlag = 1;
        (&raw mut (*vui).videoFormat).write(VideoFormat::NV_ENC_VUI_VIDEO_FORMAT_UNSPECIFIED);
        (*vui).videoFullRangeFlag = colour.full_range.into();
        (*vui).colourDescriptionPresentFlag = 1;
        (&raw mut (*vui).colourPrimaries).cast::<u32>().write(colour.primaries.into());
        (&raw mut (*vui).transferCharacteristics).cast::<u32>().write(colour.transfer.into());
        (&raw mut (*vui).colourMatrix).cast::<u32>().write(colour.matrix_code().into());
        // This sets max_num_reorder_frames to 0, so decoders need not wait.
        (*vui).bitstreamRestrictionFlag = 1;
    }
}

pub(super) fn preset(preset: u8) -> GUID {
    match preset {
        ..=1 => NV_ENC_PRESET_P1_GUID,
        2 => NV_ENC_PRESET_P2_GUID,
        3 => NV_ENC_PRESET_P3_GUID,
        4 => NV_ENC_PRESET_P4_GUID,
        5 => NV_ENC_PRESET_P5_GUID,
        6 => NV_ENC_PRESET_P6_GUID,
        7.. => NV_ENC_PRESET_P7_GUID,
    }
}

/// Returns a frame rate as a fraction, with the denominator 1001 for rates of that kind.
fn rational(fps: f64) -> (u32, u32) {
    let of_1001 = fps * 1001.0 / 1000.0;
    if (of_1001 - of_1001.round()).abs() < 1e-3 && (fps - fps.round()).abs() > 1e-3 {
        return ((of_1001.round() * 1000.0) as u32, 1001);
    }
    ((fps * 1000.0).round().max(1.0) as u32, 1000)
}

/// Returns a struct of the interface that is filled with zeros.
///
/// # Safety
/// A value of all zeros must be valid for `T`.
pub(super) unsafe fn zeroed<T>() -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the caller guarantees it.
    unsafe {
        ptr::write_bytes(value.as_mut_ptr(), 0, 1);
        value.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_of_television_are_exact() {
        assert_eq!(rational(30.0), (30_000, 1000));
        assert_eq!(rational(30_000.0 / 1001.0), (30_000, 1001));
        assert_eq!(rational(60_000.0 / 1001.0), (60_000, 1001));
        assert_eq!(rational(12.5), (12_500, 1000));
    }
}
