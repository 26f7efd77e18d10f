//! H.264 by openh264, whose C++ sources are built into the program.
//!
//! [`decoder`] and [`encoder`] say how it is used; `library` is the only place that touches its pointers. Two traps
//! that they avoid: the library's own decoder threads hang, and without nasm it is built without assembly and
//! encodes 2.6 times slower.

mod decoder;
mod encoder;
mod library;

pub(crate) use decoder::H264Decoder;
pub(crate) use encoder::H264Encoder;

/// The backend's name.
pub(crate) const BACKEND: &str = "openh264";

/// A remark on this build: the library is slow where it was built without assembly, as `nasm` was missing on x86.
pub(crate) fn note() -> Option<&'static str> {
    (!has_assembly()).then_some("no assembly")
}

/// The name as in the status; it says where assembly is missing.
fn backend() -> &'static str {
    if has_assembly() { BACKEND } else { "openh264 (no assembly)" }
}

fn has_assembly() -> bool {
    library::cpu_features() != 0
}
