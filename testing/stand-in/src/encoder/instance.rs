//! The library's two exported functions, and the list that gives access to all others.

use std::ffi::c_void;
use std::mem::offset_of;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENCODE_API_FUNCTION_LIST, NV_ENCODE_API_FUNCTION_LIST_VER, NVENCAPI_MAJOR_VERSION,
    NVENCAPI_MINOR_VERSION,
};

use super::session::{check_version, enter, refuse};
use super::{buffers, capabilities, code, configuration, picture, session, zero};
use crate::pointer::Out;
use crate::report;

/// The list's entry for a function that is not implemented.
macro_rules! missing {
    ($name:ident) => {{
        extern "C" fn missing() -> i32 {
            enter(stringify!($name), || {
                report::wrong(stringify!($name), "the stand-in does not implement it");
                Err(code::UNIMPLEMENTED)
            })
        }
        missing as *const c_void
    }};
}

/// Pairs each function with its offset in the list.
macro_rules! list {
    ($($name:ident $(= $function:expr)?),* $(,)?) => {
        [$((
            offset_of!(NV_ENCODE_API_FUNCTION_LIST, $name),
            list!(@ $name $(, $function)?),
        )),*]
    };
    (@ $name:ident, $function:expr) => { $function as *const c_void };
    (@ $name:ident) => { missing!($name) };
}

fn functions() -> [(usize, *const c_void); 43] {
    list! {
        nvEncOpenEncodeSession,
        nvEncOpenEncodeSessionEx = session::open,
        nvEncGetEncodeGUIDCount = capabilities::codec_count,
        nvEncGetEncodeGUIDs = capabilities::codecs,
        nvEncGetEncodeProfileGUIDCount = capabilities::profile_count,
        nvEncGetEncodeProfileGUIDs = capabilities::profiles,
        nvEncGetInputFormatCount = capabilities::format_count,
        nvEncGetInputFormats = capabilities::formats,
        nvEncGetEncodeCaps = capabilities::capability,
        nvEncGetEncodePresetCount = capabilities::preset_count,
        nvEncGetEncodePresetGUIDs = capabilities::presets,
        nvEncGetEncodePresetConfig,
        nvEncGetEncodePresetConfigEx = configuration::preset,
        nvEncInitializeEncoder = configuration::initialise,
        nvEncReconfigureEncoder = configuration::reconfigure,
        nvEncCreateInputBuffer,
        nvEncDestroyInputBuffer,
        nvEncCreateBitstreamBuffer = buffers::create_output,
        nvEncDestroyBitstreamBuffer = buffers::destroy_output,
        nvEncEncodePicture = picture::encode,
        nvEncLockBitstream = picture::lock_output,
        nvEncUnlockBitstream = picture::unlock_output,
        nvEncLockInputBuffer,
        nvEncUnlockInputBuffer,
        nvEncGetEncodeStats,
        nvEncGetSequenceParams = picture::sequence_parameters,
        nvEncGetSequenceParamEx,
        nvEncRegisterAsyncEvent,
        nvEncUnregisterAsyncEvent,
        nvEncMapInputResource = buffers::map,
        nvEncUnmapInputResource = buffers::unmap,
        nvEncDestroyEncoder = session::destroy,
        nvEncInvalidateRefFrames,
        nvEncRegisterResource = buffers::register,
        nvEncUnregisterResource = buffers::unregister,
        nvEncCreateMVBuffer,
        nvEncDestroyMVBuffer,
        nvEncRunMotionEstimationOnly,
        nvEncGetLastErrorString = session::last_error,
        nvEncSetIOCudaStreams = session::set_streams,
        nvEncRestoreEncoderState,
        nvEncLookaheadPicture,
        // This entry is not a function and stays null.
        reserved1 = std::ptr::null::<c_void>(),
    }
}

/// Defines the library's exported functions, with C's names.
macro_rules! entries {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "C's name")]
        extern "C" fn $name($($argument: $type),*) -> i32 {
            enter(stringify!($name), || $body)
        }
    )*};
}

entries! {
    fn NvEncodeAPIGetMaxSupportedVersion(version: Out<u32>) {
        let newest = NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION;
        version.put(newest).map_err(|_| code::INVALID_PTR)
    }

    fn NvEncodeAPICreateInstance(to: *mut NV_ENCODE_API_FUNCTION_LIST) {
        let name = "NvEncodeAPICreateInstance";
        check_version(name, to, NV_ENCODE_API_FUNCTION_LIST_VER)?;
        if !zero!(to, reserved) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        for (offset, function) in functions() {
            // SAFETY: the caller's list exists, since its version was read, and has a pointer at that offset.
            unsafe { to.byte_add(offset).cast::<*const c_void>().write_unaligned(function) };
        }
        Ok(())
    }
}
