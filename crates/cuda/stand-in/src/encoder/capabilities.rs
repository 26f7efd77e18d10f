//! What the encoder can do: codecs, profiles, presets, sizes. H.265 is there with the feature `libavcodec`.

use cutrickle_codec::VideoCodec;
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

/// The codec of that name, where it is one of this encoder's.
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

/// Smallest and largest picture, as GPUs of these years have them.
pub(super) fn sizes_of(codec: VideoCodec) -> ((u32, u32), (u32, u32)) {
    match codec {
        VideoCodec::H264 => ((145, 49), (4096, 4096)),
        VideoCodec::H265 => ((129, 33), (8192, 8192)),
    }
}

/// `NV_ENC_CAPS`, as far as a number of it is known here.
fn capability_of(codec: VideoCodec, which: u32) -> i32 {
    let (least, most) = sizes_of(codec);
    let of = |h264, h265| if codec == VideoCodec::H264 { h264 } else { h265 };
    match which {
        // Rate control: variable and constant bitrate; constant QP is not there.
        1 => 3,
        // CABAC.
        7 => of(1, 0),
        // Changing resolution and bitrate, sizes of the VBV.
        19 | 20 | 26 => 1,
        // Levels.
        13 => of(62, 186),
        14 => of(9, 30),
        16 => most.0 as i32,
        17 => most.1 as i32,
        31 => (most.0 * most.1 / 256) as i32,
        32 => 983_040,
        45 => least.0 as i32,
        46 => least.1 as i32,
        49 => 1,
        _ => 0,
    }
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
