//! MPEG transport streams as the input and output of a stream: a [`Reader`] turns bytes into access units,
//! and a [`Writer`] turns access units into bytes. Moving the bytes is left to a transport such as
//! `cutrickle-live` or `cutrickle-file`; the format itself is in `cutrickle-mpegts`.
#![forbid(unsafe_code)]

mod info;
mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
