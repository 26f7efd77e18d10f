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

/// What a driver's error `code` says of a machine that has no GPU to use, in words for its owner; `said` is the driver's
/// own text, or the dynamic loader's where there is no driver.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn without_gpu(code: i32, said: &str) -> Option<String> {
    Some(match code {
        // The two that stand for a library that is not there, and for one that lacks a function.
        303 if said.is_empty() || said.contains("No such file") => {
            "no NVIDIA driver (libcuda.so.1 not found)".to_owned()
        }
        303 => format!("no NVIDIA driver (libcuda.so.1 cannot be opened: {said})"),
        302 => "the NVIDIA driver is too old: libcuda.so.1 lacks a function".to_owned(),
        35 | 803 => format!("the NVIDIA driver does not fit this program ({said})"),
        100 => "the NVIDIA driver knows of no device".to_owned(),
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_is_told_in_words() {
        let loader = "libcuda.so.1: cannot open shared object file: No such file or directory";
        assert_eq!(without_gpu(303, loader).as_deref(), Some("no NVIDIA driver (libcuda.so.1 not found)"));
        let broken = without_gpu(303, "/lib/libcuda.so.1: file too short").unwrap_or_default();
        assert!(broken.starts_with("no NVIDIA driver") && broken.contains("file too short"), "{broken}");
        for code in [302, 35, 803, 100] {
            let text = without_gpu(code, "as the driver says it").unwrap_or_default();
            assert!(!text.is_empty() && !text.contains("CUDA_ERROR"), "{code}: {text}");
        }
        assert_eq!(without_gpu(719, "unspecified launch failure"), None);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_cause_is_said_once() {
        let error = Error::unavailable("libnvcuvid.so.1").because(std::io::Error::other("not found"));
        assert_eq!(cutrickle_error::chain(&error).to_string(), "libnvcuvid.so.1: not found");
        assert_eq!(error.to_string(), "libnvcuvid.so.1");
    }
}
