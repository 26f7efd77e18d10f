//! H.264 by openh264, whose C++ sources are built into the program.
//!
//! [`decoder`] and [`encoder`] say how it is used; `library` is the only place that touches its pointers. Two traps
//! that they avoid: the library's own decoder threads hang, and without nasm it is built without assembly and
//! encodes 2.6 times slower.

mod decoder;
mod encoder;
mod library;

pub use decoder::H264Decoder;
pub use encoder::H264Encoder;

/// Whether the library was built with assembly for this processor. False where `nasm` was missing on x86.
pub fn has_assembly() -> bool {
    library::cpu_features() != 0
}

/// The backend's name, as in the status; it says where assembly is missing.
pub fn backend() -> &'static str {
    if has_assembly() { "openh264" } else { "openh264 (no assembly)" }
}
