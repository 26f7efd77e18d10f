//! How a subcommand fails: one line on stderr and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use cutrickle_error::{chain, one_line};

/// Why a subcommand ended early.
#[derive(Debug)]
pub struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The caller asked for something that cannot be: exit code 2.
    pub fn usage(line: impl Display) -> Self {
        Self { line: one_line(line), code: 2 }
    }

    /// `what` failed because of `cause`: exit code 1.
    pub fn because(what: impl Display, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { line: format!("{what}: {}", chain(&*cause.into())), code: 1 }
    }

    /// The same, found out before anything was begun: exit code 2.
    #[must_use]
    pub fn at_start(self) -> Self {
        Self { code: 2, ..self }
    }

    /// What is printed.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Prints the line, and gives the exit code.
    pub fn report(self) -> ExitCode {
        // Where stderr cannot be written, the exit code is all that is left to say.
        let _ = writeln!(std::io::stderr(), "error: {}", self.line);
        ExitCode::from(self.code)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { line: chain(&*cause.into()).to_string(), code: 1 }
    }
}
