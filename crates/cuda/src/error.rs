//! What can go wrong on the way to a device.

use std::fmt;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done on a device.
#[derive(Debug)]
pub struct Error {
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "only what runs on a device fails in more than one way")
    )]
    kind: Kind,
    what: String,
    code: Option<i32>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    #[cfg(feature = "cuda")]
    Unavailable,
    #[cfg(feature = "cuda")]
    Unsupported,
    #[cfg(feature = "cuda")]
    NoEncoder,
    #[cfg(feature = "cuda")]
    TooManySessions,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, what: what.into(), code: None, source: None }
    }

    /// The code that a library's call answered with, where one did.
    pub fn code(&self) -> Option<i32> {
        self.code
    }
}

#[cfg(feature = "cuda")]
impl Error {
    fn of(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, ..Self::new(what) }
    }

    /// The error of a caller's own work between this crate's, such as filling an encoder's input.
    pub fn other(what: impl Into<String>) -> Self {
        Self::new(what)
    }

    /// A driver or a library that is not there.
    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::of(Kind::Unavailable, what)
    }

    /// Something that this device never does.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::of(Kind::Unsupported, what)
    }

    pub(crate) fn no_encoder(what: impl Into<String>) -> Self {
        Self::of(Kind::NoEncoder, what)
    }

    pub(crate) fn too_many_sessions(what: impl Into<String>) -> Self {
        Self::of(Kind::TooManySessions, what)
    }

    /// The same error with the code that it came with.
    pub(crate) fn with_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// The same error with its cause.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// There is no driver, or a library of its is missing.
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// The device never does this: trying again is useless.
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// This GPU has no encoder at all.
    pub fn is_no_encoder(&self) -> bool {
        self.kind == Kind::NoEncoder
    }

    /// The GPU has an encoder, and all the sessions that it allows are taken.
    pub fn is_session_limit(&self) -> bool {
        self.kind == Kind::TooManySessions
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

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
