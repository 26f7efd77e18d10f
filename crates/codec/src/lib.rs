//! Video and audio codecs behind four traits, and the table of the backends that implement them.
//!
//! [`VideoDecoder`], [`VideoEncoder`], [`AudioDecoder`] and [`AudioEncoder`] take and give one unit at a time and
//! never hold one back to see the next (a decoder reorders where the stream's parameter sets say so). They block while
//! they compute, so call them from a thread of your own. [`Backends`] has a row for each backend, built in or added from
//! outside, and opens the one that suits a codec and a device best; its name is what logs, metrics and the status show.
//!
//! To add a codec or a library, implement the trait in a file of its own and add a row to `backends/builtin.rs`.
//!
//! Containers, transport and timing policy are other crates' jobs.
#![deny(unsafe_code)]

pub mod audio;
mod backends;
mod error;
mod fallback;
pub mod probe;
pub mod video;

pub use audio::{AudioDecoder, AudioEncoder, Samples};
pub use backends::{
    AudioDecoderBackend, AudioEncoderBackend, Backend, Backends, Row, RunsOn, Role, VideoDecoderBackend,
    VideoEncoderBackend,
};
pub use error::{Error, Result};
pub use video::{Coding, EncoderConfig, RateControl, VideoDecoder, VideoEncoder};
