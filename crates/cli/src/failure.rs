//! How a subcommand fails: one line on stderr and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

/// Why a subcommand ended early.
#[derive(Debug)]
pub struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The caller asked for something that cannot be: exit code 2.
    pub fn usage(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: 2 }
    }

    /// `what` failed because of `cause`: exit code 1.
    pub fn because(what: impl Display, cause: impl Display) -> Self {
        Self { line: format!("{what}: {cause}"), code: 1 }
    }

    /// What is printed.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Prints the line, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let line = self.line.lines().collect::<Vec<_>>().join(" ");
        eprintln!("error: {line}");
        ExitCode::from(self.code)
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Failure {
    fn from(cause: E) -> Self {
        let cause = cause.into();
        let mut line = cause.to_string();
        let mut below = cause.source();
        while let Some(deeper) = below {
            let text = deeper.to_string();
            // Some errors already say what is below them.
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            below = deeper.source();
        }
        Self { line, code: 1 }
    }
}
