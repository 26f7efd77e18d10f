//! What can go wrong with the server itself; what can go wrong with a request is a [`Refusal`](crate::refusal).

use std::fmt;

use cutrickle_pipeline::BoxError;

/// Why a server could not be built, bound or run. Prints as one line.
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
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

// `main` prints the error that it returns in this form, so it reads like the other one.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
