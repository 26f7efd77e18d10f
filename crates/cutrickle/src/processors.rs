//! The built-in processors: small, fast, and examples of how one is written.

mod grayscale;
mod invert;
mod mirror;
mod passthrough;
mod rows;
mod tint;

pub use grayscale::Grayscale;
pub use invert::Invert;
pub use mirror::Mirror;
pub use passthrough::Passthrough;
pub use tint::Tint;
