//! What can go wrong in a codec.

use std::fmt;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a unit could not be decoded or encoded, or a backend not opened.
///
/// Its text is one line without the cause, which is its `source`; `{:?}` prints both.
pub struct Error {
    kind: Kind,
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Unsupported,
}

impl Error {
    /// A failure of `what`.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, what: what.into(), source: None }
    }

    /// Input that the backend will never take, and what would.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, what: what.into(), source: None }
    }

    /// The same error with its cause.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, of the picture at `timestamp`.
    #[cfg(feature = "cuda")]
    pub(crate) fn at(mut self, timestamp: i64) -> Self {
        self.what = format!("{} at timestamp {timestamp}", self.what);
        self
    }

    /// The input is of a kind that this backend never takes: trying the next unit is useless.
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
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

impl From<cutrickle_frame::Error> for Error {
    fn from(source: cutrickle_frame::Error) -> Self {
        Self::failed("frame").because(source)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use cutrickle_error::chain;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = Error::failed("AAC frame").because(io::Error::other("no memory"));
        let whole = format!("{}: no memory", error.what);
        assert_eq!(chain(&error).to_string(), whole);
        assert_eq!(error.to_string(), error.what);
        assert_eq!(format!("{error:?}"), whole);
    }
}
