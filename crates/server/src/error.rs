//! What can go wrong with the server itself; what can go wrong with a request is a [`Refusal`](crate::refusal).

use std::fmt;

use cutrickle_pipeline::BoxError;

/// Why a server could not be built, bound or run.
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
    Taken,
    Failed,
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, what: what.into(), source: None }
    }

    pub(crate) fn taken(what: impl Into<String>) -> Self {
        Self { kind: Kind::Taken, what: what.into(), source: None }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, what: what.into(), source: None }
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A setting is out of its range; the text names it.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Somebody else listens on the address.
    pub fn is_address_in_use(&self) -> bool {
        self.kind == Kind::Taken
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
        let error = Error::failed("binding").because(io::Error::other("no memory"));
        let whole = format!("{}: no memory", error.what);
        assert_eq!(chain(&error).to_string(), whole);
        assert_eq!(error.to_string(), error.what);
        assert_eq!(format!("{error:?}"), whole);
    }
}
