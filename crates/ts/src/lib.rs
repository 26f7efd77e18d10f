//! MPEG transport streams at the ends of a stream: a [`Reader`] makes access units of bytes, a [`Writer`] bytes of access
//! units. Where the bytes come from and go to is the business of a transport, such as `cutrickle-live` or
//! `cutrickle-file`; the format itself is `cutrickle-mpegts`.
#![forbid(unsafe_code)]

mod info;
mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
