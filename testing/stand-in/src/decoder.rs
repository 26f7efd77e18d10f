//! The decoder, NVDEC: `libnvcuvid.so.1`.
//!
//! The parser finds the pictures of a stream. The engine decodes them on the CPU and hands them out as
//! surfaces. Both take progressive 4:2:0 streams: H.264 of 8 bits, which the project's own decoder decodes,
//! and, with the feature `libavcodec`, H.265 of 8 and 10 bits, which that library decodes.

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

use cutrickle_media::VideoCodec;
use nvidia_video_codec_sdk::sys::cuviddec::cudaVideoCodec;

const H264: u32 = cudaVideoCodec::cudaVideoCodec_H264 as u32;
const H265: u32 = cudaVideoCodec::cudaVideoCodec_HEVC as u32;

/// The codec of a `cudaVideoCodec`, if streams of it can be parsed.
///
/// A caller may pass any number, so it is not read as the enumeration.
fn codec_of(number: u32) -> Option<VideoCodec> {
    match number {
        H264 => Some(VideoCodec::H264),
        H265 => Some(VideoCodec::H265),
        _ => None,
    }
}

/// How many objects of each kind are still open.
pub(crate) fn left() -> [(&'static str, usize); 4] {
    [
        ("parsers", parser::live()),
        ("decoders", engine::live()),
        ("mapped surfaces", engine::mapped()),
        ("context locks", lock::live()),
    ]
}
