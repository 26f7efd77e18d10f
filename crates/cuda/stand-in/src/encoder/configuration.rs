//! What the encoder can do, its presets, and what a session is set to.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

use cutrickle_codec::EncoderConfig;
use cutrickle_frame::Colour;
use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    GUID, NV_ENC_BUFFER_FORMAT, NV_ENC_CAPS_PARAM, NV_ENC_CAPS_PARAM_VER, NV_ENC_CODEC_H264_GUID,
    NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, NV_ENC_CONFIG, NV_ENC_CONFIG_H264, NV_ENC_CONFIG_VER,
    NV_ENC_H264_PROFILE_BASELINE_GUID, NV_ENC_H264_PROFILE_HIGH_GUID, NV_ENC_H264_PROFILE_MAIN_GUID,
    NV_ENC_INITIALIZE_PARAMS, NV_ENC_INITIALIZE_PARAMS_VER, NV_ENC_PARAMS_FRAME_FIELD_MODE,
    NV_ENC_PARAMS_RC_MODE, NV_ENC_PRESET_CONFIG, NV_ENC_PRESET_CONFIG_VER, NV_ENC_PRESET_P1_GUID,
    NV_ENC_PRESET_P2_GUID, NV_ENC_PRESET_P3_GUID, NV_ENC_PRESET_P4_GUID, NV_ENC_PRESET_P5_GUID,
    NV_ENC_PRESET_P6_GUID, NV_ENC_PRESET_P7_GUID, NV_ENC_RC_PARAMS_VER, NV_ENC_RECONFIGURE_PARAMS,
    NV_ENC_RECONFIGURE_PARAMS_VER,
};

use super::picture::Encoder;
use super::session::{check_version, refuse, with};
use super::{code, number, put, read, zero};
use crate::pointer::Out;
use crate::status::Answer;
use crate::table::{Handle, lock};

/// What a session is set to.
#[derive(Clone)]
pub(super) struct Configuration {
    pub(super) encoder: EncoderConfig,
    /// Frames from an IDR picture to the next; none is never.
    pub(super) interval: Option<u32>,
    /// Every IDR picture has its parameter sets, not the first one alone.
    pub(super) repeat_sets: bool,
    pub(super) delimiters: bool,
    most: (u32, u32),
}

const PRESETS: [GUID; 7] = [
    NV_ENC_PRESET_P1_GUID,
    NV_ENC_PRESET_P2_GUID,
    NV_ENC_PRESET_P3_GUID,
    NV_ENC_PRESET_P4_GUID,
    NV_ENC_PRESET_P5_GUID,
    NV_ENC_PRESET_P6_GUID,
    NV_ENC_PRESET_P7_GUID,
];
const PROFILES: [GUID; 4] = [
    NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
    NV_ENC_H264_PROFILE_BASELINE_GUID,
    NV_ENC_H264_PROFILE_MAIN_GUID,
    NV_ENC_H264_PROFILE_HIGH_GUID,
];
/// Smallest and largest picture, as GPUs of these years have them.
const LEAST: (u32, u32) = (145, 49);
const MOST: (u32, u32) = (4096, 4096);
/// `NVENC_INFINITE_GOPLENGTH`.
const NEVER: u32 = u32::MAX;

/// `NV_ENC_CAPS`, as far as a number of it is known here.
fn capability_of(which: u32) -> i32 {
    match which {
        // Rate control: constant QP, variable and constant bitrate.
        1 => 3,
        // CABAC, changing resolution and bitrate, sizes of the VBV.
        7 | 19 | 20 | 26 => 1,
        // Levels.
        13 => 62,
        14 => 9,
        16 => MOST.0 as i32,
        17 => MOST.1 as i32,
        31 => (MOST.0 * MOST.1 / 256) as i32,
        32 => 983_040,
        45 => LEAST.0 as i32,
        46 => LEAST.1 as i32,
        49 => 1,
        _ => 0,
    }
}

fn check_codec(name: &str, codec: GUID) -> Answer {
    if codec == NV_ENC_CODEC_H264_GUID { Ok(()) } else { refuse(name, "not H.264", code::UNSUPPORTED_PARAM) }
}

fn give<T: Copy>(all: &[T], to: *mut T, room: u32, count: Out<u32>) -> Answer {
    if to.is_null() {
        return Err(code::INVALID_PTR);
    }
    let number = all.len().min(room as usize);
    // SAFETY: the caller says that there is room for so many.
    unsafe { to.copy_from_nonoverlapping(all.as_ptr(), number) };
    count.put(number as u32).map_err(|_| code::INVALID_PTR)
}

fn tell(count: Out<u32>, number: usize) -> Answer {
    count.put(number as u32).map_err(|_| code::INVALID_PTR)
}

pub(super) extern "C" fn codec_count(encoder: Handle, count: Out<u32>) -> i32 {
    with("nvEncGetEncodeGUIDCount", encoder, |_| tell(count, 1))
}

pub(super) extern "C" fn codecs(encoder: Handle, to: *mut GUID, room: u32, count: Out<u32>) -> i32 {
    with("nvEncGetEncodeGUIDs", encoder, |_| give(&[NV_ENC_CODEC_H264_GUID], to, room, count))
}

pub(super) extern "C" fn profile_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetEncodeProfileGUIDCount";
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| tell(count, PROFILES.len())))
}

pub(super) extern "C" fn profiles(
    encoder: Handle,
    codec: GUID,
    to: *mut GUID,
    room: u32,
    count: Out<u32>,
) -> i32 {
    let name = "nvEncGetEncodeProfileGUIDs";
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| give(&PROFILES, to, room, count)))
}

pub(super) extern "C" fn preset_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetEncodePresetCount";
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| tell(count, PRESETS.len())))
}

pub(super) extern "C" fn presets(
    encoder: Handle,
    codec: GUID,
    to: *mut GUID,
    room: u32,
    count: Out<u32>,
) -> i32 {
    let name = "nvEncGetEncodePresetGUIDs";
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| give(&PRESETS, to, room, count)))
}

pub(super) extern "C" fn format_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetInputFormatCount";
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| tell(count, 1)))
}

pub(super) extern "C" fn formats(
    encoder: Handle,
    codec: GUID,
    to: *mut NV_ENC_BUFFER_FORMAT,
    room: u32,
    count: Out<u32>,
) -> i32 {
    let name = "nvEncGetInputFormats";
    let all = [NV_ENC_BUFFER_FORMAT::NV_ENC_BUFFER_FORMAT_NV12];
    with(name, encoder, |_| check_codec(name, codec).and_then(|()| give(&all, to, room, count)))
}

pub(super) extern "C" fn capability(
    encoder: Handle,
    codec: GUID,
    at: *const NV_ENC_CAPS_PARAM,
    value: Out<i32>,
) -> i32 {
    let name = "nvEncGetEncodeCaps";
    with(name, encoder, |_| {
        check_codec(name, codec)?;
        check_version(name, at, NV_ENC_CAPS_PARAM_VER)?;
        if !zero!(at, reserved) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        value.put(capability_of(number!(at, capsToQuery))).map_err(|_| code::INVALID_PTR)
    })
}

/// High quality, low latency, ultra low latency, lossless; this encoder has no lossless mode.
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
        check_codec(name, codec)?;
        check_version(name, to, NV_ENC_PRESET_CONFIG_VER)?;
        if read!(to, presetCfg.version) != NV_ENC_CONFIG_VER {
            return refuse(name, "the version of presetCfg", code::INVALID_VERSION);
        }
        if !PRESETS.contains(&preset) || !TUNINGS.contains(&tuning) {
            return refuse(name, "no such preset or tuning", code::UNSUPPORTED_PARAM);
        }
        put!(to, presetCfg, preset_configuration(tuning));
        Ok(())
    })
}

/// What a preset sets: as the real ones, with B-frames and a bitrate of its own where quality is asked for.
fn preset_configuration(tuning: u32) -> NV_ENC_CONFIG {
    let quality = tuning == HIGH_QUALITY;
    let mut config = MaybeUninit::<NV_ENC_CONFIG>::zeroed();
    // SAFETY: a struct of C in which zeros are numbers, null pointers and enumerations' first, but for this field.
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
    // SAFETY: all of the union is zero, which are numbers and enumerations' first.
    let codec: &mut NV_ENC_CONFIG_H264 = unsafe { &mut config.encodeCodecConfig.h264Config };
    codec.idrPeriod = config.gopLength;
    codec.chromaFormatIDC = 1;
    config
}

/// Where none is given.
const BITRATE: u32 = 2_000_000;

impl Configuration {
    /// From the caller's parameters, those of `before` where there are none.
    fn read(name: &str, at: *const NV_ENC_INITIALIZE_PARAMS, before: Option<&Self>) -> Answer<Self> {
        check_version(name, at, NV_ENC_INITIALIZE_PARAMS_VER)?;
        if !zero!(at, reserved, reserved2, privData, privDataSize, _bitfield_1) {
            return refuse(name, "reserved fields, or features that are not there", code::INVALID_PARAM);
        }
        check_codec(name, read!(at, encodeGUID))?;
        let tuning = number!(at, tuningInfo);
        if !PRESETS.contains(&read!(at, presetGUID)) || !TUNINGS.contains(&tuning) {
            return refuse(name, "no such preset or tuning", code::UNSUPPORTED_PARAM);
        }
        if read!(at, enableEncodeAsync) != 0 || read!(at, enablePTD) != 1 {
            return refuse(name, "synchronous, and picture types decided here", code::INVALID_PARAM);
        }
        let (width, height) = (read!(at, encodeWidth), read!(at, encodeHeight));
        if width < LEAST.0
            || height < LEAST.1
            || width > MOST.0
            || height > MOST.1
            || (width | height) % 2 == 1
        {
            return refuse(name, &format!("a picture of {width}x{height}"), code::INVALID_PARAM);
        }
        let most = (read!(at, maxEncodeWidth), read!(at, maxEncodeHeight));
        let most = before.map_or((most.0.max(width), most.1.max(height)), |before| before.most);
        if width > most.0 || height > most.1 {
            return refuse(name, "larger than the session was opened for", code::INVALID_PARAM);
        }
        let rate = (read!(at, frameRateNum), read!(at, frameRateDen));
        if rate.0 == 0 || rate.1 == 0 {
            return refuse(name, "a frame rate of 0", code::INVALID_PARAM);
        }
        let fps = f64::from(rate.0) / f64::from(rate.1);
        let config: *const NV_ENC_CONFIG = read!(at, encodeConfig);
        if config.is_null() {
            let mut same = match before {
                Some(before) => before.clone(),
                None => {
                    let preset = preset_configuration(tuning);
                    Self::from_config(name, &raw const preset, height)?
                }
            };
            (same.encoder.width, same.encoder.height, same.encoder.fps) = (width, height, fps);
            same.most = most;
            return Ok(same);
        }
        let mut read = Self::from_config(name, config, height)?;
        (read.encoder.width, read.encoder.height, read.encoder.fps) = (width, height, fps);
        read.most = most;
        Ok(read)
    }

    fn from_config(name: &str, at: *const NV_ENC_CONFIG, height: u32) -> Answer<Self> {
        check_version(name, at, NV_ENC_CONFIG_VER)?;
        if !zero!(at, reserved, reserved2, monoChromeEncoding) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        if !PROFILES.contains(&read!(at, profileGUID)) {
            return refuse(name, "no such profile", code::UNSUPPORTED_PARAM);
        }
        if read!(at, frameIntervalP) != 1 {
            return refuse(name, "B-frames, which the stand-in does not have", code::UNSUPPORTED_PARAM);
        }
        if number!(at, frameFieldMode) > 1 {
            return refuse(name, "fields", code::UNSUPPORTED_PARAM);
        }
        if read!(at, rcParams.version) != NV_ENC_RC_PARAMS_VER {
            return refuse(name, "the version of rcParams", code::INVALID_VERSION);
        }
        let (mode, bitrate) = (number!(at, rcParams.rateControlMode), read!(at, rcParams.averageBitRate));
        if mode > 2 {
            return refuse(name, "no such rate control", code::UNSUPPORTED_PARAM);
        }
        // SAFETY: the caller's config is there, as its version was.
        let codec = unsafe { (&raw const (*at).encodeCodecConfig).cast::<NV_ENC_CONFIG_H264>() };
        if !zero!(codec, reserved1, reserved2, separateColourPlaneFlag) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        // Bits of the first word, as nvEncodeAPI.h has them.
        let flags = number!(codec, _bitfield_1);
        const DELIMITERS: u32 = 1 << 6;
        const REPEAT_SETS: u32 = 1 << 12;
        const RESERVED: u32 = 0xffc0_0000;
        if flags & RESERVED != 0 {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        // 0 is what the preset says, which is 1.
        if !matches!(read!(codec, chromaFormatIDC), 0 | 1) {
            return refuse(name, "not 4:2:0", code::UNSUPPORTED_PARAM);
        }
        let (length, period) = (read!(at, gopLength), read!(codec, idrPeriod));
        if length == 0 {
            return refuse(name, "a group of no pictures", code::INVALID_PARAM);
        }
        let interval = if period == 0 { length } else { period };
        Ok(Self {
            encoder: EncoderConfig {
                width: 0,
                height: 0,
                fps: 0.0,
                bitrate: if bitrate == 0 { BITRATE } else { bitrate },
                colour: colour(codec, height),
            },
            interval: (interval != NEVER).then_some(interval),
            repeat_sets: flags & REPEAT_SETS != 0,
            delimiters: flags & DELIMITERS != 0,
            most: (0, 0),
        })
    }
}

/// What is to be signalled.
fn colour(codec: *const NV_ENC_CONFIG_H264, height: u32) -> Colour {
    let signalled = read!(codec, h264VUIParameters.videoSignalTypePresentFlag) != 0;
    let full = signalled && read!(codec, h264VUIParameters.videoFullRangeFlag) != 0;
    if !signalled || read!(codec, h264VUIParameters.colourDescriptionPresentFlag) == 0 {
        return Colour::from_vui(2, 2, 2, full, height);
    }
    let primaries = number!(codec, h264VUIParameters.colourPrimaries) as u8;
    let transfer = number!(codec, h264VUIParameters.transferCharacteristics) as u8;
    Colour::from_vui(number!(codec, h264VUIParameters.colourMatrix) as u8, primaries, transfer, full, height)
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
        // SAFETY: the caller's struct is there, as its version was.
        let parameters = unsafe { &raw const (*at).reInitEncodeParams };
        let configuration = Configuration::read(name, parameters, Some(&before))?;
        let (old, new) = (&before.encoder, &configuration.encoder);
        // resetEncoder and forceIDR.
        let starts_anew = number!(at, _bitfield_1) & 3 == 3;
        if (old.width, old.height) != (new.width, new.height) && !starts_anew {
            return refuse(name, "another size without resetEncoder and forceIDR", code::INVALID_PARAM);
        }
        // Pictures that were given before are encoded as it was.
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
