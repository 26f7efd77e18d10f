//! What can go wrong with a frame.

use std::fmt;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a frame could not be built, converted or scaled.
///
/// Its text is one line without the cause, which is its `source`; `{:?}` prints both.
pub struct Error {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a text of its own: what was asked, and of what.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// An error that another one caused.
    pub fn caused_by(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

// `main` prints the error that it returns in this form, so it reads as one line with its causes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&cutrickle_error::chain(self), f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::caused_by("tensor operation", source)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use cutrickle_error::chain;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = Error::caused_by("scaling", io::Error::other("no memory"));
        let whole = format!("{}: no memory", error.what);
        assert_eq!(chain(&error).to_string(), whole);
        assert_eq!(error.to_string(), error.what);
        assert_eq!(format!("{error:?}"), whole);
    }
}
