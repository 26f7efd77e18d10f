//! Video and audio codecs behind four traits, and the choice between their backends.
//!
//! [`VideoDecoder`], [`VideoEncoder`], [`AudioDecoder`] and [`AudioEncoder`] take and give one unit at a time and
//! never hold one back to see the next (a decoder reorders where the stream's parameter sets say so). They
//! block while they compute: call them from a thread of your own. [`open`] picks a backend for each, and its
//! name is what logs, metrics and the status show.
//!
//! Transport and timing policy are other crates' jobs.
#![deny(unsafe_code)]

pub mod audio;
mod error;
pub mod open;
pub mod probe;
pub mod video;

pub use audio::{AudioDecoder, AudioEncoder, AudioFormat, EncodedAudio, Samples};
pub use error::{Error, Result};
pub use video::{
    Coding, EncodedVideo, EncoderConfig, RateControl, VideoCodec, VideoDecoder, VideoEncoder, VideoUnit,
};
