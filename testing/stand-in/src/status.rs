//! The CUDA result codes (`CUresult` in cuda.h) that the stand-in returns.

use std::ffi::CStr;

/// A result code other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) i32);

/// The outcome of a call.
pub(crate) type Answer<T = ()> = Result<T, Status>;

macro_rules! codes {
    ($($name:ident = $code:literal: $text:literal,)*) => {
        #[allow(dead_code, reason = "a call that is told to fail may answer any of them")]
        impl Status {
            $(pub(crate) const $name: Self = Self($code);)*

            /// The code's name and meaning.
            pub(crate) fn describe(code: i32) -> Option<(&'static CStr, &'static CStr)> {
                let (name, text) = match code {
                    0 => ("CUDA_SUCCESS\0", "no error\0"),
                    $($code => (concat!("CUDA_ERROR_", stringify!($name), "\0"), concat!($text, "\0")),)*
                    _ => return None,
                };
                let text_of = |text: &'static str| CStr::from_bytes_with_nul(text.as_bytes()).ok();
                Some((text_of(name)?, text_of(text)?))
            }
        }
    };
}

codes! {
    INVALID_VALUE = 1: "invalid argument",
    OUT_OF_MEMORY = 2: "out of memory",
    NOT_INITIALIZED = 3: "initialization error",
    DEVICE_UNAVAILABLE = 46: "CUDA-capable device(s) is/are busy or unavailable",
    NO_DEVICE = 100: "no CUDA-capable device is detected",
    INVALID_DEVICE = 101: "invalid device ordinal",
    INVALID_IMAGE = 200: "device kernel image is invalid",
    INVALID_CONTEXT = 201: "invalid device context",
    MAP_FAILED = 205: "mapping of buffer object failed",
    UNMAP_FAILED = 206: "unmapping of buffer object failed",
    NO_BINARY_FOR_GPU = 209: "no kernel image is available for execution on the device",
    ECC_UNCORRECTABLE = 214: "uncorrectable ECC error encountered",
    INVALID_SOURCE = 300: "device kernel image is invalid",
    INVALID_HANDLE = 400: "invalid resource handle",
    ILLEGAL_STATE = 401: "the operation cannot be performed in the present state",
    NOT_FOUND = 500: "named symbol not found",
    NOT_READY = 600: "device not ready",
    ILLEGAL_ADDRESS = 700: "an illegal memory access was encountered",
    LAUNCH_TIMEOUT = 702: "the launch timed out and was terminated",
    CONTEXT_IS_DESTROYED = 709: "context is destroyed",
    HOST_MEMORY_ALREADY_REGISTERED = 712: "part or all of the requested memory range is already mapped",
    HOST_MEMORY_NOT_REGISTERED = 713: "pointer does not correspond to a registered memory region",
    MISALIGNED_ADDRESS = 716: "misaligned address",
    LAUNCH_FAILED = 719: "unspecified launch failure",
    NOT_PERMITTED = 800: "operation not permitted",
    NOT_SUPPORTED = 801: "operation not supported",
    UNKNOWN = 999: "unknown error",
}
