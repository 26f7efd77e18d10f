//! How a command fails: one line on standard error, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use cutrickle_error::{chain, one_line};

/// Why a command ended early: one line for people, and the exit code. The code is 2 for a wrong argument and
/// 1 for everything else.
#[derive(Debug)]
pub struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The arguments ask for something that is not possible. Exit code 2.
    pub fn usage(line: impl Display) -> Self {
        Self { line: one_line(line), code: 2 }
    }

    /// `what` failed because of `cause`. Exit code 1.
    pub fn because(what: impl Display, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { line: format!("{what}: {}", chain(&*cause.into())), code: 1 }
    }

    /// The same failure, found before anything was started: the arguments are to blame. Exit code 2.
    #[must_use]
    pub fn at_start(self) -> Self {
        Self { code: 2, ..self }
    }

    /// The line that is printed.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Whether the arguments are to blame.
    pub fn is_usage(&self) -> bool {
        self.code == 2
    }

    /// Prints the line to standard error, and returns the exit code.
    pub fn report(self) -> ExitCode {
        // Where standard error cannot be written to, the exit code has to do.
        let _ = writeln!(std::io::stderr(), "error: {}", self.line);
        ExitCode::from(self.code)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { line: chain(&*cause.into()).to_string(), code: 1 }
    }
}
