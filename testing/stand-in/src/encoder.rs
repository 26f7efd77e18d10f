//! The encoder, NVENC: `libnvidia-encode.so.1`, API 12.1, for NV12 in device memory.
//!
//! Encoders on the CPU do the work, in the order of the streams that the caller names. Naming them is
//! required, because the alternative is the NULL stream, which takes no work here.

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

/// The `NVENCSTATUS` codes of nvEncodeAPI.h.
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

/// How many objects of each kind are still open.
pub(crate) fn left() -> [(&'static str, usize); 4] {
    session::left()
}

/// Reads a field of the caller's struct that is not an enumeration.
macro_rules! read {
    ($at:expr, $($field:ident).+) => {{
        let at: *const _ = $at;
        // SAFETY: checking the struct's version has shown that it exists.
        unsafe { (&raw const (*at).$($field).+).read_unaligned() }
    }};
}
pub(crate) use read;

/// Reads an enumeration in the caller's struct as a number, because it may hold none of the enumeration's
/// values.
macro_rules! number {
    ($at:expr, $($field:ident).+) => {{
        let at: *const _ = $at;
        // SAFETY: as in `read`; the field has four bytes.
        unsafe { (&raw const (*at).$($field).+).cast::<u32>().read_unaligned() }
    }};
}
pub(crate) use number;

/// Writes a field of the caller's struct.
macro_rules! put {
    ($at:expr, $field:ident, $value:expr) => {{
        let (at, value): (*mut _, _) = ($at, $value);
        // SAFETY: as in `read`, and the caller lends the struct for writing.
        unsafe { (&raw mut (*at).$field).write_unaligned(value) }
    }};
}
pub(crate) use put;

/// Whether these fields of the caller's struct are all zeros, as reserved fields must be.
macro_rules! zero {
    ($at:expr, $($field:ident),+) => {{
        let at: *const _ = $at;
        // SAFETY: as in `read`.
        unsafe { $($crate::encoder::is_zero(&raw const (*at).$field))&&+ }
    }};
}
pub(crate) use zero;

/// Whether all bytes of a value are zero.
///
/// # Safety
/// `at` must point to a readable `T`.
pub(crate) unsafe fn is_zero<T>(at: *const T) -> bool {
    // SAFETY: the caller promises that the bytes can be read.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), size_of::<T>()) };
    bytes.iter().all(|&byte| byte == 0)
}
