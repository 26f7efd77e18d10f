//! The configurations of presets and of sessions.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

use cutrickle_codec::{Coding, EncoderConfig, RateControl};
use cutrickle_media::{Colour, Size, VideoCodec};
use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    GUID, NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, NV_ENC_CONFIG, NV_ENC_CONFIG_H264,
    NV_ENC_CONFIG_H264_VUI_PARAMETERS, NV_ENC_CONFIG_HEVC, NV_ENC_CONFIG_VER, NV_ENC_INITIALIZE_PARAMS,
    NV_ENC_INITIALIZE_PARAMS_VER, NV_ENC_PARAMS_FRAME_FIELD_MODE, NV_ENC_PARAMS_RC_MODE,
    NV_ENC_PRESET_CONFIG, NV_ENC_PRESET_CONFIG_VER, NV_ENC_RC_PARAMS_VER, NV_ENC_RECONFIGURE_PARAMS,
    NV_ENC_RECONFIGURE_PARAMS_VER,
};

use super::capabilities::{PRESETS, codec_of, profiles_of, sizes_of};
use super::picture::Encoder;
use super::session::{check_version, refuse, with};
use super::{code, number, put, read, zero};
use crate::status::Answer;
use crate::table::{Handle, lock};

/// The configuration of a session.
#[derive(Clone)]
pub(super) struct Configuration {
    pub(super) encoder: EncoderConfig,
    /// The maximum bitrate in bits per second.
    #[cfg_attr(
        not(feature = "libavcodec"),
        expect(dead_code, reason = "the encoder for H.264 takes no maximum")
    )]
    pub(super) max_bitrate: u32,
    /// How many frames there are from one IDR picture to the next, or `None` for no IDR pictures after the
    /// first.
    pub(super) interval: Option<u32>,
    /// Whether every IDR picture is preceded by parameter sets, or only the first one.
    pub(super) repeat_sets: bool,
    pub(super) delimiters: bool,
    /// The largest size that the session can be reconfigured to.
    max_size: Size,
}

/// High quality, low latency and ultra low latency. There is no lossless mode.
const TUNINGS: std::ops::RangeInclusive<u32> = 1..=3;
const HIGH_QUALITY: u32 = 1;

pub(super) extern "C" fn preset(
    encoder: Handle,
    codec: GUID,
    preset: GUID,
    tuning: u32,
    to: *mut NV_ENC_PRESET_CONFIG,
) -> i32 {
    let name = "nvEncGetEncodePresetConfigEx";
    with(name, encoder, |_| {
        let codec = codec_of(name, codec)?;
        check_version(name, to, NV_ENC_PRESET_CONFIG_VER)?;
        if read!(to, presetCfg.version) != NV_ENC_CONFIG_VER {
            return refuse(name, "the version of presetCfg", code::INVALID_VERSION);
        }
        if !PRESETS.contains(&preset) || !TUNINGS.contains(&tuning) {
            return refuse(name, "no such preset or tuning", code::UNSUPPORTED_PARAM);
        }
        put!(to, presetCfg, preset_configuration(codec, tuning));
        Ok(())
    })
}

/// The configuration of a preset. Like NVIDIA's, the presets for high quality have B-frames and a bitrate of
/// their own.
fn preset_configuration(codec: VideoCodec, tuning: u32) -> NV_ENC_CONFIG {
    let quality = tuning == HIGH_QUALITY;
    let mut config = MaybeUninit::<NV_ENC_CONFIG>::zeroed();
    // SAFETY: zeros are valid in every field of this C struct except for the one that is written here.
    let mut config = unsafe {
        (&raw mut (*config.as_mut_ptr()).frameFieldMode)
            .write(NV_ENC_PARAMS_FRAME_FIELD_MODE::NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME);
        config.assume_init()
    };
    config.version = NV_ENC_CONFIG_VER;
    config.profileGUID = NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID;
    (config.gopLength, config.frameIntervalP) = if quality { (250, 3) } else { (NEVER, 1) };
    config.rcParams.version = NV_ENC_RC_PARAMS_VER;
    config.rcParams.rateControlMode = if quality {
        NV_ENC_PARAMS_RC_MODE::NV_ENC_PARAMS_RC_VBR
    } else {
        NV_ENC_PARAMS_RC_MODE::NV_ENC_PARAMS_RC_CBR
    };
    config.rcParams.averageBitRate = BITRATE;
    // SAFETY: the union is all zeros, which are valid in every field of either codec's part.
    unsafe {
        match codec {
            VideoCodec::H264 => {
                let h264: &mut NV_ENC_CONFIG_H264 = &mut config.encodeCodecConfig.h264Config;
                (h264.idrPeriod, h264.chromaFormatIDC) = (config.gopLength, 1);
            }
            VideoCodec::H265 => {
                let h265: &mut NV_ENC_CONFIG_HEVC = &mut config.encodeCodecConfig.hevcConfig;
                h265.idrPeriod = config.gopLength;
                h265.set_chromaFormatIDC(1);
            }
        }
    }
    config
}

/// `NVENC_INFINITE_GOPLENGTH`.
const NEVER: u32 = u32::MAX;
/// The bitrate if the caller gives none.
const BITRATE: u32 = 2_000_000;

impl Configuration {
    /// Reads the caller's parameters. If they have no configuration, the one of `before` stays.
    fn read(name: &str, at: *const NV_ENC_INITIALIZE_PARAMS, before: Option<&Self>) -> Answer<Self> {
        check_version(name, at, NV_ENC_INITIALIZE_PARAMS_VER)?;
        if !zero!(at, reserved, reserved2, privData, privDataSize, _bitfield_1) {
            return refuse(name, "reserved fields, or features that are not there", code::INVALID_PARAM);
        }
        let codec = codec_of(name, read!(at, encodeGUID))?;
        if before.is_some_and(|before| before.encoder.coding.codec != codec) {
            return refuse(name, "another codec", code::INVALID_PARAM);
        }
        let tuning = number!(at, tuningInfo);
        if !PRESETS.contains(&read!(at, presetGUID)) || !TUNINGS.contains(&tuning) {
            return refuse(name, "no such preset or tuning", code::UNSUPPORTED_PARAM);
        }
        if read!(at, enableEncodeAsync) != 0 || read!(at, enablePTD) != 1 {
            return refuse(name, "synchronous, and picture types decided here", code::INVALID_PARAM);
        }
        let size = Size::new(read!(at, encodeWidth), read!(at, encodeHeight));
        let (min, max) = sizes_of(codec);
        let fits =
            (min.width..=max.width).contains(&size.width) && (min.height..=max.height).contains(&size.height);
        if !fits || (size.width | size.height) % 2 == 1 {
            return refuse(name, &format!("a picture of {size}"), code::INVALID_PARAM);
        }
        let max_size = match before {
            Some(before) => before.max_size,
            None => Size::new(
                read!(at, maxEncodeWidth).max(size.width),
                read!(at, maxEncodeHeight).max(size.height),
            ),
        };
        if size.width > max_size.width || size.height > max_size.height {
            return refuse(name, "larger than the session was opened for", code::INVALID_PARAM);
        }
        let rate = (read!(at, frameRateNum), read!(at, frameRateDen));
        if rate.0 == 0 || rate.1 == 0 {
            return refuse(name, "a frame rate of 0", code::INVALID_PARAM);
        }
        let fps = f64::from(rate.0) / f64::from(rate.1);
        let config: *const NV_ENC_CONFIG = read!(at, encodeConfig);
        let mut configuration = match before {
            Some(before) if config.is_null() => before.clone(),
            None if config.is_null() => {
                let preset = preset_configuration(codec, tuning);
                Self::from_config(name, codec, &raw const preset, size)?
            }
            _ => Self::from_config(name, codec, config, size)?,
        };
        (configuration.encoder.size, configuration.encoder.fps) = (size, fps);
        configuration.max_size = max_size;
        Ok(configuration)
    }

    /// Reads a configuration for frames of `size`, which leaves the frame rate open.
    fn from_config(name: &str, codec: VideoCodec, at: *const NV_ENC_CONFIG, size: Size) -> Answer<Self> {
        check_version(name, at, NV_ENC_CONFIG_VER)?;
        if !zero!(at, reserved, reserved2, monoChromeEncoding) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        if !profiles_of(codec).contains(&read!(at, profileGUID)) {
            return refuse(name, "no such profile", code::UNSUPPORTED_PARAM);
        }
        if read!(at, frameIntervalP) != 1 {
            return refuse(name, "B-frames, which the stand-in does not have", code::UNSUPPORTED_PARAM);
        }
        if number!(at, frameFieldMode) > 1 {
            return refuse(name, "fields", code::UNSUPPORTED_PARAM);
        }
        let (rate, bitrate, max_bitrate) = rate(name, at)?;
        // SAFETY: the caller's configuration exists, since its version was read.
        let union = unsafe { &raw const (*at).encodeCodecConfig };
        let said = match codec {
            VideoCodec::H264 => h264(name, union.cast())?,
            VideoCodec::H265 => h265(name, union.cast())?,
        };
        let length = read!(at, gopLength);
        if length == 0 {
            return refuse(name, "a group of no pictures", code::INVALID_PARAM);
        }
        let interval = if said.period == 0 { length } else { said.period };
        Ok(Self {
            encoder: EncoderConfig {
                size,
                fps: 0.0,
                bitrate,
                coding: Coding { codec, rate, ..Coding::default() },
                colour: colour(said.vui, size.height),
            },
            max_bitrate,
            interval: (interval != NEVER).then_some(interval),
            repeat_sets: said.repeat_sets,
            delimiters: said.delimiters,
            max_size: size,
        })
    }
}

/// The rate control, the average bitrate and the maximum bitrate.
fn rate(name: &str, at: *const NV_ENC_CONFIG) -> Answer<(RateControl, u32, u32)> {
    if read!(at, rcParams.version) != NV_ENC_RC_PARAMS_VER {
        return refuse(name, "the version of rcParams", code::INVALID_VERSION);
    }
    let (average, max) = (read!(at, rcParams.averageBitRate), read!(at, rcParams.maxBitRate));
    let quality = read!(at, rcParams.targetQuality);
    let or_usual = |bits| if bits == 0 { BITRATE } else { bits };
    match number!(at, rcParams.rateControlMode) {
        VARIABLE if quality > 51 => refuse(name, "no such quality", code::INVALID_PARAM),
        // A quality together with a bitrate would mean the best quality up to this one that the bitrate
        // allows.
        VARIABLE if quality > 0 && average == 0 && max == 0 => {
            Ok((RateControl::Quality(quality), BITRATE, 0))
        }
        VARIABLE if quality > 0 => refuse(
            name,
            "a quality within a bitrate, which the stand-in does not have",
            code::UNSUPPORTED_PARAM,
        ),
        VARIABLE if max > 0 && max < average => {
            refuse(name, "fewer bits at most than on average", code::INVALID_PARAM)
        }
        VARIABLE => Ok((RateControl::Variable, or_usual(average), max)),
        CONSTANT if quality > 0 => refuse(name, "a quality at a constant bitrate", code::INVALID_PARAM),
        CONSTANT => Ok((RateControl::Constant, or_usual(average), or_usual(average))),
        _ => refuse(name, "no such rate control", code::UNSUPPORTED_PARAM),
    }
}

/// `NV_ENC_PARAMS_RC_VBR`.
const VARIABLE: u32 = 1;
/// `NV_ENC_PARAMS_RC_CBR`.
const CONSTANT: u32 = 2;

/// The part of a configuration that is specific to a codec.
struct Said {
    /// How many frames there are from one IDR picture to the next, or 0 for the length of the group.
    period: u32,
    repeat_sets: bool,
    delimiters: bool,
    vui: *const NV_ENC_CONFIG_H264_VUI_PARAMETERS,
}

fn h264(name: &str, at: *const NV_ENC_CONFIG_H264) -> Answer<Said> {
    // The bits of the first word, as in nvEncodeAPI.h.
    const DELIMITERS: u32 = 1 << 6;
    const REPEAT_SETS: u32 = 1 << 12;
    const RESERVED: u32 = 0xffc0_0000;
    let flags = number!(at, _bitfield_1);
    if !zero!(at, reserved1, reserved2, separateColourPlaneFlag) || flags & RESERVED != 0 {
        return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
    }
    // 0 stands for the preset's value, which is 1.
    if !matches!(read!(at, chromaFormatIDC), 0 | 1) {
        return refuse(name, "not 4:2:0", code::UNSUPPORTED_PARAM);
    }
    Ok(Said {
        period: read!(at, idrPeriod),
        repeat_sets: flags & REPEAT_SETS != 0,
        delimiters: flags & DELIMITERS != 0,
        // SAFETY: this is an address within the caller's configuration, which exists.
        vui: unsafe { &raw const (*at).h264VUIParameters },
    })
}

fn h265(name: &str, at: *const NV_ENC_CONFIG_HEVC) -> Answer<Said> {
    // The bits of the first word, as in nvEncodeAPI.h.
    const DELIMITERS: u32 = 1 << 4;
    const REPEAT_SETS: u32 = 1 << 7;
    const CHROMA: u32 = 0b11 << 9;
    const DEPTH: u32 = 0b111 << 11;
    const RESERVED: u32 = 0xfff0_0000;
    let flags = number!(at, _bitfield_1);
    if !zero!(at, reserved1, reserved2) || flags & RESERVED != 0 {
        return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
    }
    if flags & CHROMA > 1 << 9 || flags & DEPTH != 0 {
        return refuse(name, "not 4:2:0 of 8 bits", code::UNSUPPORTED_PARAM);
    }
    Ok(Said {
        period: read!(at, idrPeriod),
        repeat_sets: flags & REPEAT_SETS != 0,
        delimiters: flags & DELIMITERS != 0,
        // SAFETY: as in `h264`.
        vui: unsafe { &raw const (*at).hevcVUIParameters },
    })
}

/// The colour to signal in the stream.
fn colour(vui: *const NV_ENC_CONFIG_H264_VUI_PARAMETERS, height: u32) -> Colour {
    let signalled = read!(vui, videoSignalTypePresentFlag) != 0;
    let full = signalled && read!(vui, videoFullRangeFlag) != 0;
    if !signalled || read!(vui, colourDescriptionPresentFlag) == 0 {
        return Colour::from_vui(2, 2, 2, full, height);
    }
    let primaries = number!(vui, colourPrimaries) as u8;
    let transfer = number!(vui, transferCharacteristics) as u8;
    Colour::from_vui(number!(vui, colourMatrix) as u8, primaries, transfer, full, height)
}

pub(super) extern "C" fn initialise(encoder: Handle, at: *const NV_ENC_INITIALIZE_PARAMS) -> i32 {
    let name = "nvEncInitializeEncoder";
    with(name, encoder, |session| {
        let mut state = lock(&session.state);
        if state.configuration.is_some() {
            return refuse(name, "called twice", code::INVALID_CALL);
        }
        let configuration = Configuration::read(name, at, None)?;
        state.encoder = Some(Arc::new(Mutex::new(Encoder::new(configuration.clone())?)));
        state.configuration = Some(configuration);
        Ok(())
    })
}

pub(super) extern "C" fn reconfigure(encoder: Handle, at: *const NV_ENC_RECONFIGURE_PARAMS) -> i32 {
    let name = "nvEncReconfigureEncoder";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_RECONFIGURE_PARAMS_VER)?;
        let mut state = lock(&session.state);
        let Some(before) = state.configuration.clone() else {
            return refuse(name, "not initialised", code::ENCODER_NOT_INITIALIZED);
        };
        // SAFETY: the caller's struct exists, since its version was read.
        let parameters = unsafe { &raw const (*at).reInitEncodeParams };
        let configuration = Configuration::read(name, parameters, Some(&before))?;
        let (old, new) = (&before.encoder, &configuration.encoder);
        // `resetEncoder` and `forceIDR`.
        let starts_anew = number!(at, _bitfield_1) & 3 == 3;
        if old.size != new.size && !starts_anew {
            return refuse(name, "another size without resetEncoder and forceIDR", code::INVALID_PARAM);
        }
        // Frames that were submitted before are encoded with the old configuration.
        if let Some((input, _)) = &state.streams {
            input.wait();
        }
        if let Some(encoder) = &state.encoder {
            lock(encoder).reconfigure(configuration.clone(), starts_anew)?;
        }
        state.configuration = Some(configuration);
        Ok(())
    })
}
