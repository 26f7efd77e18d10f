//! The encoder, NVENC: `libnvidia-encode.so.1`, API 12.1, from NV12 in device memory. Encoders of the CPU do the
//! work, in the order of the stream that the caller names for it: without one it would be the NULL stream, which takes
//! none.

mod buffers;
mod capabilities;
mod configuration;
mod instance;
mod picture;
mod session;
mod software;
#[cfg(feature = "libavcodec")]
mod x265;

use crate::status::Status;

/// `NVENCSTATUS` of nvEncodeAPI.h.
pub(crate) mod code {
    use super::Status;

    pub(crate) const UNSUPPORTED_DEVICE: Status = Status(2);
    pub(crate) const INVALID_ENCODERDEVICE: Status = Status(3);
    pub(crate) const INVALID_DEVICE: Status = Status(4);
    pub(crate) const INVALID_PTR: Status = Status(6);
    pub(crate) const INVALID_PARAM: Status = Status(8);
    pub(crate) const INVALID_CALL: Status = Status(9);
    pub(crate) const OUT_OF_MEMORY: Status = Status(10);
    pub(crate) const ENCODER_NOT_INITIALIZED: Status = Status(11);
    pub(crate) const UNSUPPORTED_PARAM: Status = Status(12);
    pub(crate) const LOCK_BUSY: Status = Status(13);
    pub(crate) const INVALID_VERSION: Status = Status(15);
    pub(crate) const GENERIC: Status = Status(20);
    pub(crate) const UNIMPLEMENTED: Status = Status(22);
    pub(crate) const RESOURCE_REGISTER_FAILED: Status = Status(23);
    pub(crate) const RESOURCE_NOT_REGISTERED: Status = Status(24);
    pub(crate) const RESOURCE_NOT_MAPPED: Status = Status(25);
}

/// What is still open, by kind.
pub(crate) fn left() -> [(&'static str, usize); 4] {
    session::left()
}

/// A field of a struct of the caller's, that is no enumeration.
macro_rules! read {
    ($at:expr, $($field:ident).+) => {{
        let at: *const _ = $at;
        // SAFETY: that the caller's struct is there was looked up when its version was.
        unsafe { (&raw const (*at).$($field).+).read_unaligned() }
    }};
}
pub(crate) use read;

/// A field of a struct of the caller's, as a number: an enumeration may hold one that it does not have.
macro_rules! number {
    ($at:expr, $($field:ident).+) => {{
        let at: *const _ = $at;
        // SAFETY: as `read`; the field has four bytes.
        unsafe { (&raw const (*at).$($field).+).cast::<u32>().read_unaligned() }
    }};
}
pub(crate) use number;

/// Writes a field of a struct of the caller's.
macro_rules! put {
    ($at:expr, $field:ident, $value:expr) => {{
        let (at, value): (*mut _, _) = ($at, $value);
        // SAFETY: as `read`, and the caller lends it for writing.
        unsafe { (&raw mut (*at).$field).write_unaligned(value) }
    }};
}
pub(crate) use put;

/// Whether fields of a struct of the caller's are zero throughout, as reserved ones have to be.
macro_rules! zero {
    ($at:expr, $($field:ident),+) => {{
        let at: *const _ = $at;
        // SAFETY: as `read`.
        unsafe { $($crate::encoder::is_zero(&raw const (*at).$field))&&+ }
    }};
}
pub(crate) use zero;

/// Whether all bytes are.
///
/// # Safety
/// There must be something to read.
pub(crate) unsafe fn is_zero<T>(at: *const T) -> bool {
    // SAFETY: the caller's promise; whatever it is, it has bytes.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), size_of::<T>()) };
    bytes.iter().all(|&byte| byte == 0)
}
