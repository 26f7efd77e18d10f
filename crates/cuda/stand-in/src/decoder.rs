//! The decoder, NVDEC: `libnvcuvid.so.1`. The parser finds the pictures of a stream, the engine decodes them on the CPU
//! and hands them out as surfaces. 4:2:0, frames: H.264 of 8 bits by the project's own decoder; with the feature
//! `libavcodec`, H.265 and AV1 of 8 and 10 bits by that library.

mod av1;
mod bits;
mod engine;
mod h264;
mod h265;
#[cfg(feature = "libavcodec")]
mod libavcodec;
mod lock;
mod parser;
mod pictures;
mod software;
mod stream;
mod surface;
mod syntax;

/// A codec that streams are parsed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    H264,
    H265,
    Av1,
}

impl Codec {
    /// By `cudaVideoCodec`.
    fn of(number: u32) -> Option<Self> {
        match number {
            4 => Some(Self::H264),
            8 => Some(Self::H265),
            11 => Some(Self::Av1),
            _ => None,
        }
    }
}

/// What is still open, by kind.
pub(crate) fn left() -> [(&'static str, usize); 4] {
    [
        ("parsers", parser::live()),
        ("decoders", engine::live()),
        ("mapped surfaces", engine::mapped()),
        ("context locks", lock::live()),
    ]
}
