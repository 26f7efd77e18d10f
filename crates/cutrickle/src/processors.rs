//! The built-in processors: small, fast, and examples of how one is written.

use cutrickle_pipeline::{NoParams, TypedParams};

mod gain;
mod grayscale;
mod invert;
mod mirror;
mod mute_when;
mod passthrough;
mod pitch;
mod rows;
mod tint;

pub use gain::Gain;
pub use grayscale::Grayscale;
pub use invert::Invert;
pub use mirror::Mirror;
pub use mute_when::MuteWhen;
pub use passthrough::Passthrough;
pub use pitch::Pitch;
pub use tint::Tint;

/// The parameters of a processor that takes none and has no state either.
fn no_params<'a>() -> Option<&'a mut (dyn TypedParams + 'a)> {
    // A value without a size: nothing is allocated, so nothing leaks.
    Some(Box::leak(Box::new(NoParams {})))
}
