//! What can go wrong with a stream.

use std::fmt;

/// Any error, as processors return them: whatever has the `Error` trait converts by `?`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything that a user of the framework calls or writes.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;

/// Why a stream could not be started, or was ended.
///
/// Its text is one line without the cause, which is its `source`; `{:?}` prints both.
pub struct Error {
    kind: Kind,
    what: String,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invalid,
    Failed,
}

impl Error {
    /// The caller asked for something that cannot be.
    /// An error of the caller's making.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, what: what.into(), source: None }
    }

    /// Something failed on the way.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, what: what.into(), source: None }
    }

    /// The same error with its cause.
    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The request was wrong, and would be wrong again: a URL, a parameter.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
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

#[cfg(test)]
mod tests {
    use std::io;

    use cutrickle_error::chain;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = Error::failed("starting the decode thread").because(io::Error::other("no memory"));
        let whole = format!("{}: no memory", error.what);
        assert_eq!(chain(&error).to_string(), whole);
        assert_eq!(error.to_string(), error.what);
        assert_eq!(format!("{error:?}"), whole);
    }
}
