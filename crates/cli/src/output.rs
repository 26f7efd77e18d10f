//! What a subcommand prints on standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Prints `text` as it is. A reader that has closed its end has seen enough, and is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    written(write!(output, "{text}").and_then(|()| output.flush()))
}

/// What comes of writing to standard output, as [`print`] sees it.
///
/// # Errors
/// As [`print`].
pub fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::because("standard output", e)),
        _ => Ok(()),
    }
}
