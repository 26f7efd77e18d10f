//! What the encoder supports: codecs, profiles, presets and sizes. H.265 needs the feature `libavcodec`.

use cutrickle_media::{Size, VideoCodec};
use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    GUID, NV_ENC_BUFFER_FORMAT, NV_ENC_CAPS_PARAM, NV_ENC_CAPS_PARAM_VER, NV_ENC_CODEC_H264_GUID,
    NV_ENC_CODEC_HEVC_GUID, NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, NV_ENC_H264_PROFILE_BASELINE_GUID,
    NV_ENC_H264_PROFILE_HIGH_GUID, NV_ENC_H264_PROFILE_MAIN_GUID, NV_ENC_HEVC_PROFILE_MAIN_GUID,
    NV_ENC_PRESET_P1_GUID, NV_ENC_PRESET_P2_GUID, NV_ENC_PRESET_P3_GUID, NV_ENC_PRESET_P4_GUID,
    NV_ENC_PRESET_P5_GUID, NV_ENC_PRESET_P6_GUID, NV_ENC_PRESET_P7_GUID,
};

use super::session::{check_version, refuse, with};
use super::{code, number, zero};
use crate::pointer::Out;
use crate::status::Answer;
use crate::table::Handle;

const CODECS: &[GUID] = if cfg!(feature = "libavcodec") {
    &[NV_ENC_CODEC_H264_GUID, NV_ENC_CODEC_HEVC_GUID]
} else {
    &[NV_ENC_CODEC_H264_GUID]
};
pub(super) const PRESETS: [GUID; 7] = [
    NV_ENC_PRESET_P1_GUID,
    NV_ENC_PRESET_P2_GUID,
    NV_ENC_PRESET_P3_GUID,
    NV_ENC_PRESET_P4_GUID,
    NV_ENC_PRESET_P5_GUID,
    NV_ENC_PRESET_P6_GUID,
    NV_ENC_PRESET_P7_GUID,
];

/// The codec that a GUID names.
///
/// # Errors
/// The encoder does not support it.
pub(super) fn codec_of(name: &str, guid: GUID) -> Answer<VideoCodec> {
    if !CODECS.contains(&guid) {
        return refuse(name, "no codec of this encoder's", code::UNSUPPORTED_PARAM);
    }
    Ok(if guid == NV_ENC_CODEC_HEVC_GUID { VideoCodec::H265 } else { VideoCodec::H264 })
}

pub(super) fn profiles_of(codec: VideoCodec) -> &'static [GUID] {
    match codec {
        VideoCodec::H264 => &[
            NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID,
            NV_ENC_H264_PROFILE_BASELINE_GUID,
            NV_ENC_H264_PROFILE_MAIN_GUID,
            NV_ENC_H264_PROFILE_HIGH_GUID,
        ],
        VideoCodec::H265 => &[NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID, NV_ENC_HEVC_PROFILE_MAIN_GUID],
    }
}

/// The smallest and the largest frame of a codec, as on current GPUs.
pub(super) fn sizes_of(codec: VideoCodec) -> (Size, Size) {
    match codec {
        VideoCodec::H264 => (Size::new(145, 49), Size::new(4096, 4096)),
        VideoCodec::H265 => (Size::new(129, 33), Size::new(8192, 8192)),
    }
}

/// The value of an `NV_ENC_CAPS`, or 0 for those that are not known here.
fn capability_of(codec: VideoCodec, which: u32) -> i32 {
    let (min, max) = sizes_of(codec);
    let of = |h264, h265| if codec == VideoCodec::H264 { h264 } else { h265 };
    match which {
        // Rate control by variable and constant bitrate, but not by constant QP.
        1 => 3,
        // CABAC.
        7 => of(1, 0),
        // Changes of resolution and bitrate, and a custom VBV size.
        19 | 20 | 26 => 1,
        // The highest and the lowest level.
        13 => of(62, 186),
        14 => of(9, 30),
        16 => max.width as i32,
        17 => max.height as i32,
        31 => (max.width * max.height / 256) as i32,
        32 => 983_040,
        45 => min.width as i32,
        46 => min.height as i32,
        49 => 1,
        _ => 0,
    }
}

fn give<T: Copy>(all: &[T], to: *mut T, room: u32, count: Out<u32>) -> Answer {
    if to.is_null() {
        return Err(code::INVALID_PTR);
    }
    let number = all.len().min(room as usize);
    // SAFETY: the caller promises that there is room for `room` elements.
    unsafe { to.copy_from_nonoverlapping(all.as_ptr(), number) };
    count.put(number as u32).map_err(|_| code::INVALID_PTR)
}

fn tell(count: Out<u32>, number: usize) -> Answer {
    count.put(number as u32).map_err(|_| code::INVALID_PTR)
}

pub(super) extern "C" fn codec_count(encoder: Handle, count: Out<u32>) -> i32 {
    with("nvEncGetEncodeGUIDCount", encoder, |_| tell(count, CODECS.len()))
}

pub(super) extern "C" fn codecs(encoder: Handle, to: *mut GUID, room: u32, count: Out<u32>) -> i32 {
    with("nvEncGetEncodeGUIDs", encoder, |_| give(CODECS, to, room, count))
}

pub(super) extern "C" fn profile_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetEncodeProfileGUIDCount";
    with(name, encoder, |_| tell(count, profiles_of(codec_of(name, codec)?).len()))
}

pub(super) extern "C" fn profiles(
    encoder: Handle,
    codec: GUID,
    to: *mut GUID,
    room: u32,
    count: Out<u32>,
) -> i32 {
    let name = "nvEncGetEncodeProfileGUIDs";
    with(name, encoder, |_| give(profiles_of(codec_of(name, codec)?), to, room, count))
}

pub(super) extern "C" fn preset_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetEncodePresetCount";
    with(name, encoder, |_| codec_of(name, codec).and_then(|_| tell(count, PRESETS.len())))
}

pub(super) extern "C" fn presets(
    encoder: Handle,
    codec: GUID,
    to: *mut GUID,
    room: u32,
    count: Out<u32>,
) -> i32 {
    let name = "nvEncGetEncodePresetGUIDs";
    with(name, encoder, |_| codec_of(name, codec).and_then(|_| give(&PRESETS, to, room, count)))
}

pub(super) extern "C" fn format_count(encoder: Handle, codec: GUID, count: Out<u32>) -> i32 {
    let name = "nvEncGetInputFormatCount";
    with(name, encoder, |_| codec_of(name, codec).and_then(|_| tell(count, 1)))
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
    with(name, encoder, |_| codec_of(name, codec).and_then(|_| give(&all, to, room, count)))
}

pub(super) extern "C" fn capability(
    encoder: Handle,
    codec: GUID,
    at: *const NV_ENC_CAPS_PARAM,
    value: Out<i32>,
) -> i32 {
    let name = "nvEncGetEncodeCaps";
    with(name, encoder, |_| {
        let codec = codec_of(name, codec)?;
        check_version(name, at, NV_ENC_CAPS_PARAM_VER)?;
        if !zero!(at, reserved) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        value.put(capability_of(codec, number!(at, capsToQuery))).map_err(|_| code::INVALID_PTR)
    })
}
