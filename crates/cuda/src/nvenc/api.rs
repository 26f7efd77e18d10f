//! The functions of NVENC's library that this crate uses, and the meaning of their results.

#![allow(clippy::missing_transmute_annotations, reason = "each field says its type")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use libloading::Library;
use nvidia_video_codec_sdk::sys::nvEncodeAPI::NV_ENCODE_API_FUNCTION_LIST_VER;
use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    _NVENCSTATUS as Status, GUID, NV_ENC_CAPS_PARAM, NV_ENC_CREATE_BITSTREAM_BUFFER,
    NV_ENC_INITIALIZE_PARAMS, NV_ENC_LOCK_BITSTREAM, NV_ENC_MAP_INPUT_RESOURCE,
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, NV_ENC_PIC_PARAMS, NV_ENC_PRESET_CONFIG, NV_ENC_RECONFIGURE_PARAMS,
    NV_ENC_REGISTER_RESOURCE, NV_ENCODE_API_FUNCTION_LIST, NVENCAPI_MAJOR_VERSION, NVENCAPI_MINOR_VERSION,
};

use crate::{Error, Result, library};

type Encoder = *mut c_void;

/// The library's functions, with integer results.
pub(super) struct Nvenc {
    pub(super) open: unsafe extern "C" fn(*mut NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, *mut Encoder) -> c_int,
    pub(super) capability: unsafe extern "C" fn(Encoder, GUID, *mut NV_ENC_CAPS_PARAM, *mut c_int) -> c_int,
    /// The tuning (the fourth parameter) is a C enum.
    pub(super) preset:
        unsafe extern "C" fn(Encoder, GUID, GUID, u32, *mut MaybeUninit<NV_ENC_PRESET_CONFIG>) -> c_int,
    pub(super) codec_count: unsafe extern "C" fn(Encoder, *mut u32) -> c_int,
    pub(super) codecs: unsafe extern "C" fn(Encoder, *mut GUID, u32, *mut u32) -> c_int,
    pub(super) initialize: unsafe extern "C" fn(Encoder, *mut NV_ENC_INITIALIZE_PARAMS) -> c_int,
    pub(super) reconfigure: unsafe extern "C" fn(Encoder, *mut NV_ENC_RECONFIGURE_PARAMS) -> c_int,
    pub(super) streams: unsafe extern "C" fn(Encoder, *mut c_void, *mut c_void) -> c_int,
    pub(super) register: unsafe extern "C" fn(Encoder, *mut NV_ENC_REGISTER_RESOURCE) -> c_int,
    pub(super) unregister: unsafe extern "C" fn(Encoder, *mut c_void) -> c_int,
    pub(super) map: unsafe extern "C" fn(Encoder, *mut NV_ENC_MAP_INPUT_RESOURCE) -> c_int,
    pub(super) unmap: unsafe extern "C" fn(Encoder, *mut c_void) -> c_int,
    pub(super) create_bitstream: unsafe extern "C" fn(Encoder, *mut NV_ENC_CREATE_BITSTREAM_BUFFER) -> c_int,
    pub(super) destroy_bitstream: unsafe extern "C" fn(Encoder, *mut c_void) -> c_int,
    pub(super) encode: unsafe extern "C" fn(Encoder, *mut NV_ENC_PIC_PARAMS) -> c_int,
    pub(super) lock: unsafe extern "C" fn(Encoder, *mut MaybeUninit<NV_ENC_LOCK_BITSTREAM>) -> c_int,
    pub(super) unlock: unsafe extern "C" fn(Encoder, *mut c_void) -> c_int,
    pub(super) destroy: unsafe extern "C" fn(Encoder) -> c_int,
    last_error: unsafe extern "C" fn(Encoder) -> *const c_char,
    _library: Library,
}

const NAMES: [&str; 2] = if cfg!(windows) {
    ["nvEncodeAPI64.dll", "nvEncodeAPI"]
} else {
    ["libnvidia-encode.so.1", "libnvidia-encode.so"]
};

impl Nvenc {
    /// Returns the library, which is only opened once.
    ///
    /// # Errors
    /// The library is missing or older than the interface ([`Error::is_unavailable`]). The next call looks
    /// for it again.
    pub(super) fn get() -> Result<&'static Self> {
        static NVENC: OnceLock<Nvenc> = OnceLock::new();
        match NVENC.get() {
            Some(nvenc) => Ok(nvenc),
            None => {
                let nvenc = Self::load()?;
                Ok(NVENC.get_or_init(|| nvenc))
            }
        }
    }

    fn load() -> Result<Self> {
        let library = library::open(&NAMES)?;
        let version = library::function(&library, "NvEncodeAPIGetMaxSupportedVersion")?;
        let instance = library::function(&library, "NvEncodeAPICreateInstance")?;
        let mut newest = 0;
        // SAFETY: nvEncodeAPI.h declares a function of this type by this name, which only writes one number.
        let code = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut u32) -> c_int>(version)(&mut newest)
        };
        checked("NvEncodeAPIGetMaxSupportedVersion", code)?;
        // This is the header's own layout: the major version above four bits of the minor version.
        if newest < NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION {
            return Err(Error::unavailable(format!(
                "the driver knows NVENC's interface {}.{}, and {NVENCAPI_MAJOR_VERSION}.{NVENCAPI_MINOR_VERSION} is needed",
                newest >> 4,
                newest & 15
            )));
        }
        let mut list = MaybeUninit::<NV_ENCODE_API_FUNCTION_LIST>::zeroed();
        // SAFETY: all zeros are a valid list (numbers, addresses, optional functions), and the library fills
        // it in as its version says.
        let (code, list) = unsafe {
            (*list.as_mut_ptr()).version = NV_ENCODE_API_FUNCTION_LIST_VER;
            let create: unsafe extern "C" fn(*mut NV_ENCODE_API_FUNCTION_LIST) -> c_int =
                std::mem::transmute(instance);
            (create(list.as_mut_ptr()), list.assume_init())
        };
        checked("NvEncodeAPICreateInstance", code)?;
        macro_rules! function {
            ($field:ident) => {{
                let function = list
                    .$field
                    .ok_or_else(|| Error::unavailable(concat!(stringify!($field), " is missing")))?;
                // SAFETY: the type differs from the header's in results and arguments that are C enums and
                // therefore integers, and in an output that may contain enums of unknown values.
                unsafe { std::mem::transmute::<*const (), _>(function as *const ()) }
            }};
        }
        Ok(Self {
            open: function!(nvEncOpenEncodeSessionEx),
            capability: function!(nvEncGetEncodeCaps),
            preset: function!(nvEncGetEncodePresetConfigEx),
            codec_count: function!(nvEncGetEncodeGUIDCount),
            codecs: function!(nvEncGetEncodeGUIDs),
            initialize: function!(nvEncInitializeEncoder),
            reconfigure: function!(nvEncReconfigureEncoder),
            streams: function!(nvEncSetIOCudaStreams),
            register: function!(nvEncRegisterResource),
            unregister: function!(nvEncUnregisterResource),
            map: function!(nvEncMapInputResource),
            unmap: function!(nvEncUnmapInputResource),
            create_bitstream: function!(nvEncCreateBitstreamBuffer),
            destroy_bitstream: function!(nvEncDestroyBitstreamBuffer),
            encode: function!(nvEncEncodePicture),
            lock: function!(nvEncLockBitstream),
            unlock: function!(nvEncUnlockBitstream),
            destroy: function!(nvEncDestroyEncoder),
            last_error: function!(nvEncGetLastErrorString),
            _library: library,
        })
    }

    /// Returns an error if `code` is not 0, with the library's description of it.
    ///
    /// # Safety
    /// `encoder` must be a live session of this library, or null.
    pub(super) unsafe fn checked(&self, call: &str, code: c_int, encoder: Encoder) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let error = failure(call, code);
        if encoder.is_null() {
            return Err(error);
        }
        // SAFETY: the session is alive. The text belongs to the library and is copied at once.
        let text = unsafe {
            let text = (self.last_error)(encoder);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Err(if text.is_empty() { error } else { error.because(text) })
    }
}

fn checked(call: &str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failure(call, code)) }
}

fn failure(call: &str, code: c_int) -> Error {
    /// The names of `_NVENCSTATUS`, by number.
    const NAMES: [&str; 27] = [
        "SUCCESS",
        "NO_ENCODE_DEVICE",
        "UNSUPPORTED_DEVICE",
        "INVALID_ENCODERDEVICE",
        "INVALID_DEVICE",
        "DEVICE_NOT_EXIST",
        "INVALID_PTR",
        "INVALID_EVENT",
        "INVALID_PARAM",
        "INVALID_CALL",
        "OUT_OF_MEMORY",
        "ENCODER_NOT_INITIALIZED",
        "UNSUPPORTED_PARAM",
        "LOCK_BUSY",
        "NOT_ENOUGH_BUFFER",
        "INVALID_VERSION",
        "MAP_FAILED",
        "NEED_MORE_INPUT",
        "ENCODER_BUSY",
        "EVENT_NOT_REGISTERED",
        "GENERIC",
        "INCOMPATIBLE_CLIENT_KEY",
        "UNIMPLEMENTED",
        "RESOURCE_REGISTER_FAILED",
        "RESOURCE_NOT_REGISTERED",
        "RESOURCE_NOT_MAPPED",
        "NEED_MORE_OUTPUT",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("UNKNOWN");
    let what = format!("{call}: {name} ({code})");
    const NO_DEVICE: [c_int; 2] =
        [Status::NV_ENC_ERR_NO_ENCODE_DEVICE as c_int, Status::NV_ENC_ERR_UNSUPPORTED_DEVICE as c_int];
    if NO_DEVICE.contains(&code) {
        Error::no_encoder(what)
    } else if call == OPEN && SESSION_LIMIT.contains(&code) {
        Error::too_many_sessions(what)
    } else {
        Error::new(what)
    }
}

/// The call that a driver refuses with these codes once all sessions that it allows are in use.
pub(super) const OPEN: &str = "nvEncOpenEncodeSessionEx";
const SESSION_LIMIT: [c_int; 2] =
    [Status::NV_ENC_ERR_OUT_OF_MEMORY as c_int, Status::NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY as c_int];
