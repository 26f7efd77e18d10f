//! Writes what a subcommand prints to standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use cutrickle_worker::Failure;

/// Prints `text` as it is. It is not a failure if the reader has closed its end: it has seen enough.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    written(write!(output, "{text}").and_then(|()| output.flush()))
}

/// Judges the result of writing to standard output as [`print`] does.
///
/// # Errors
/// The same as those of [`print`].
pub fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::because("standard output", e)),
        _ => Ok(()),
    }
}
