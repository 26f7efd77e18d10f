//! The decoder, NVDEC: `libnvcuvid.so.1`. The parser finds the pictures of a stream, the engine decodes them with
//! the project's decoder for the CPU and hands them out as surfaces. H.264 of 8 bits, 4:2:0, frames.

mod bits;
mod engine;
mod headers;
mod lock;
mod order;
mod parser;
mod stream;
mod surface;

/// What is still open, by kind.
pub(crate) fn left() -> [(&'static str, usize); 4] {
    [
        ("parsers", parser::live()),
        ("decoders", engine::live()),
        ("mapped surfaces", engine::mapped()),
        ("context locks", lock::live()),
    ]
}
