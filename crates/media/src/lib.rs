//! The basic types of live media, shared by all crates.
//!
//! [`VideoCodec`] and [`AudioCodec`] name a track's codec, [`AccessUnit`] is one coded frame or packet of it,
//! [`Timestamp`] and [`Ticks`] are points and spans on the 90 kHz clock, [`Colour`] describes the meaning of
//! a picture's samples, and [`ModelInput`] describes the input of a model. This crate does no I/O and touches
//! no pixels; containers, codecs and conversions are left to other crates.
#![forbid(unsafe_code)]

mod codec;
mod colour;
mod fit;
mod model;
mod time;
mod unit;

pub use codec::{AudioCodec, Codec, TrackKind, UnknownCodec, VideoCodec};
pub use colour::{Colour, ColourSpace, Matrix};
pub use fit::Span;
pub use model::{Element, Fit, Layout, ModelInput, Size};
pub use time::{Ticks, Timestamp};
pub use unit::{AccessUnit, Loss, Tracks};
