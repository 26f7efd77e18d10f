//! The functions of cuvid that this crate uses, and their parameter types.

#![allow(clippy::missing_transmute_annotations, reason = "each field says its type")]

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use libloading::Library;
use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPICPARAMS, CUVIDPROCPARAMS,
    CUVIDRECONFIGUREDECODERINFO, cudaVideoCodec,
};
use nvidia_video_codec_sdk::sys::nvcuvid::{CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET};

use cutrickle_media::VideoCodec;

use crate::{Result, library};

/// The library's functions, with integer results.
pub(super) struct Cuvid {
    pub(super) get_capabilities: unsafe extern "C" fn(*mut CUVIDDECODECAPS) -> c_int,
    pub(super) create_parser: unsafe extern "C" fn(*mut *mut c_void, *mut CUVIDPARSERPARAMS) -> c_int,
    pub(super) parse: unsafe extern "C" fn(*mut c_void, *mut CUVIDSOURCEDATAPACKET) -> c_int,
    pub(super) destroy_parser: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub(super) create_decoder: unsafe extern "C" fn(*mut *mut c_void, *mut CUVIDDECODECREATEINFO) -> c_int,
    pub(super) reconfigure: unsafe extern "C" fn(*mut c_void, *mut CUVIDRECONFIGUREDECODERINFO) -> c_int,
    pub(super) decode: unsafe extern "C" fn(*mut c_void, *mut CUVIDPICPARAMS) -> c_int,
    pub(super) status: unsafe extern "C" fn(*mut c_void, c_int, *mut CUVIDGETDECODESTATUS) -> c_int,
    pub(super) map: unsafe extern "C" fn(
        *mut c_void,
        c_int,
        *mut c_ulonglong,
        *mut c_uint,
        *mut CUVIDPROCPARAMS,
    ) -> c_int,
    pub(super) unmap: unsafe extern "C" fn(*mut c_void, c_ulonglong) -> c_int,
    pub(super) destroy_decoder: unsafe extern "C" fn(*mut c_void) -> c_int,
    _library: Library,
}

const NAMES: [&str; 2] =
    if cfg!(windows) { ["nvcuvid.dll", "nvcuvid"] } else { ["libnvcuvid.so.1", "libnvcuvid.so"] };

impl Cuvid {
    /// Returns the library, which is only opened once.
    ///
    /// # Errors
    /// The library is missing ([`is_unavailable`](crate::Error::is_unavailable)). The next call looks for it
    /// again.
    pub(super) fn get() -> Result<&'static Self> {
        static CUVID: OnceLock<Cuvid> = OnceLock::new();
        match CUVID.get() {
            Some(cuvid) => Ok(cuvid),
            None => {
                let cuvid = Self::open()?;
                Ok(CUVID.get_or_init(|| cuvid))
            }
        }
    }

    fn open() -> Result<Self> {
        let library = library::open(&NAMES)?;
        macro_rules! function {
            ($name:literal) => {{
                let address = library::function(&library, $name)?;
                // SAFETY: the address is that of the library's function of this name. Its C declaration
                // (cuviddec.h, nvcuvid.h, API 12.1) has the field's type, except that results are C enums and
                // therefore `int`s.
                unsafe { std::mem::transmute::<*mut c_void, _>(address) }
            }};
        }
        Ok(Self {
            get_capabilities: function!("cuvidGetDecoderCaps"),
            create_parser: function!("cuvidCreateVideoParser"),
            parse: function!("cuvidParseVideoData"),
            destroy_parser: function!("cuvidDestroyVideoParser"),
            create_decoder: function!("cuvidCreateDecoder"),
            reconfigure: function!("cuvidReconfigureDecoder"),
            decode: function!("cuvidDecodePicture"),
            status: function!("cuvidGetDecodeStatus"),
            map: function!("cuvidMapVideoFrame64"),
            unmap: function!("cuvidUnmapVideoFrame64"),
            destroy_decoder: function!("cuvidDestroyDecoder"),
            _library: library,
        })
    }
}

/// An object of the library, which is destroyed when this is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    raw: *mut c_void,
    destroy: unsafe extern "C" fn(*mut c_void) -> c_int,
    /// The name of the destroying function, for the log.
    by: &'static str,
}

impl Handle {
    /// Takes ownership of `raw`, which the library has just created.
    pub(super) fn new(
        raw: *mut c_void,
        destroy: unsafe extern "C" fn(*mut c_void) -> c_int,
        by: &'static str,
    ) -> Self {
        Self { raw, destroy, by }
    }

    pub(super) fn raw(&self) -> *mut c_void {
        self.raw
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the object is still alive, and this is its only owner.
        let code = unsafe { (self.destroy)(self.raw) };
        if let Err(e) = crate::device::checked(self.by, code) {
            tracing::warn!("{}", cutrickle_error::chain(&e));
        }
    }
}

/// Returns one of the library's structs filled with zeros, which its headers require unless they say
/// otherwise.
pub(super) fn zeroed<T: Zeroable>() -> T {
    // SAFETY: guaranteed by `Zeroable`.
    unsafe { std::mem::zeroed() }
}

/// # Safety
/// A value of all zeros must be valid for the type.
pub(super) unsafe trait Zeroable {}

// SAFETY: integers, addresses, optional functions, and enums that have a variant 0.
unsafe impl Zeroable for CUVIDPARSERPARAMS {}
// SAFETY: as above (`cudaVideoCodec_MPEG1`, `cudaVideoChromaFormat_Monochrome`).
unsafe impl Zeroable for CUVIDDECODECAPS {}
// SAFETY: as above (`cudaVideoSurfaceFormat_NV12`, `cudaVideoDeinterlaceMode_Weave`).
unsafe impl Zeroable for CUVIDDECODECREATEINFO {}
// SAFETY: integers only.
unsafe impl Zeroable for CUVIDRECONFIGUREDECODERINFO {}
// SAFETY: integers and addresses.
unsafe impl Zeroable for CUVIDPROCPARAMS {}

pub(super) fn codec(codec: VideoCodec) -> cudaVideoCodec {
    match codec {
        VideoCodec::H264 => cudaVideoCodec::cudaVideoCodec_H264,
        VideoCodec::H265 => cudaVideoCodec::cudaVideoCodec_HEVC,
    }
}
