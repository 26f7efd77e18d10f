//! H.264 with openh264, whose C++ sources are built into the program.
//!
//! [`decoder`] and [`encoder`] use it; `library` is the only place that handles its pointers. They avoid two
//! traps: the library's own decoder threads hang, and without nasm the library is built without assembly and
//! encodes 2.6 times slower.

mod decoder;
mod encoder;
mod library;

pub(crate) use decoder::H264Decoder;
pub(crate) use encoder::H264Encoder;

/// The backend's name.
pub(crate) const BACKEND: &str = "openh264";

/// A remark about this build: without assembly, because `nasm` was missing on x86, the library is slow.
pub(crate) fn note() -> Option<&'static str> {
    (!has_assembly()).then_some("no assembly")
}

/// The name as shown in the status; it says if assembly is missing.
fn backend() -> &'static str {
    if has_assembly() { BACKEND } else { "openh264 (no assembly)" }
}

fn has_assembly() -> bool {
    library::cpu_features() != 0
}
