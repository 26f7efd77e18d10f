//! Video and audio codecs behind four traits, and the table of backends that implement them.
//!
//! [`VideoDecoder`], [`VideoEncoder`], [`AudioDecoder`] and [`AudioEncoder`] process one unit at a time and
//! never hold one back to see the next (except that a video decoder reorders frames as far as the stream's
//! parameter sets require). They block while they compute, so call them from your own thread. [`Backends`]
//! has a row for each backend, built in or added from outside, and opens the most suitable one for a codec
//! and a device. The backend's name appears in logs, metrics and the status.
//!
//! To add a codec or a library, implement the trait in its own file and add a row to `backends/builtin.rs`.
//!
//! Containers, transport and timing are left to other crates.
#![deny(unsafe_code)]

pub mod audio;
mod backends;
mod error;
mod fallback;
pub mod probe;
pub mod video;

pub use audio::{AudioDecoder, AudioEncoder, Samples};
pub use backends::{
    AudioDecoderBackend, AudioEncoderBackend, Backend, Backends, OpenAudioDecoder, OpenAudioEncoder,
    OpenVideoDecoder, OpenVideoEncoder, Role, Row, RunsOn, VideoDecoderBackend, VideoEncoderBackend,
};
pub use error::{Error, Result};
pub use video::{Coding, EncoderConfig, RateControl, VideoDecoder, VideoEncoder};
