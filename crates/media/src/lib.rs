//! The vocabulary of live media, shared by every crate that speaks of it.
//!
//! [`VideoCodec`] and [`AudioCodec`] name what a track is coded in, [`AccessUnit`] is one coded frame or packet of it,
//! [`Timestamp`] and [`Ticks`] are points and spans on the 90 kHz clock, [`Colour`] says what a picture's samples mean,
//! and [`ModelInput`] what a model wants to be given. There is no I/O here and no pixel is touched: containers, codecs
//! and conversions are other crates' jobs.
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
