//! The built-in processors: small, fast, and examples of how one is written.

use std::ops::RangeInclusive;

use cutrickle_pipeline::{Params, Result};

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

/// The parameter `name` if it is there.
///
/// # Errors
/// One that is no number, or out of range; the text says what is wanted.
fn number(params: &Params, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>> {
    let Some(value) = params.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let (least, most) = range.into_inner();
            Err(format!("`{name}` is {value}: a number from {least} to {most} is wanted").into())
        }
    }
}
