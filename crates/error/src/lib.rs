//! The common shape of all crates' errors, and how to print them.
//!
//! [`declare!`] makes a crate's error type: opaque, with a message that says what failed, a cause, and a
//! predicate for each kind that callers may want to distinguish. An error's `Display` is its own message
//! without the cause, which `source()` returns. Code that prints an error for a person should print its
//! [`chain`], so that each cause appears exactly once. The errors themselves are declared by the other
//! crates.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Display};

/// The cause of an error, and the error type of functions that may fail in any way.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Declares a crate's error type.
///
/// Each kind has a variant, a constructor and, if callers need it, a predicate. The method `because` adds a
/// cause. `Display` prints the error's own message; `Debug` prints the whole [`chain`], because that is what
/// `main` prints for an error that it returns.
///
/// ```
/// cutrickle_error::declare! {
///     /// Why a unit could not be decoded.
///     pub struct Error: Kind {
///         /// A failure of `what`.
///         Failed => pub(crate) failed;
///         /// Input that the decoder will never take, and what would.
///         Unsupported => pub(crate) unsupported,
///             /// Trying the next unit is useless.
///             is_unsupported;
///     }
/// }
///
/// let error = Error::unsupported("4:2:2 H.264").because(std::io::Error::other("no decoder"));
/// assert!(error.is_unsupported());
/// assert_eq!(error.to_string(), "4:2:2 H.264");
/// assert_eq!(format!("{error:?}"), "4:2:2 H.264: no decoder");
/// # let _ = Error::failed("a unit");
/// ```
#[macro_export]
macro_rules! declare {
    (
        $(#[$about:meta])*
        pub struct $name:ident: $kinds:ident {
            $(
                $(#[$constructs:meta])*
                $kind:ident => $visible:vis $constructor:ident $(,
                    $(#[$asks:meta])*
                    $question:ident
                )?;
            )+
        }
    ) => {
        $(#[$about])*
        ///
        /// Its text is one line without the cause, which is its `source`; `{:?}` prints both.
        pub struct $name {
            kind: $kinds,
            what: ::std::string::String,
            source: ::std::option::Option<$crate::BoxError>,
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum $kinds {
            $($kind,)+
        }

        impl $name {
            $(
                $(#[$constructs])*
                #[allow(dead_code, reason = "some kinds come with a feature alone")]
                $visible fn $constructor(what: impl ::std::convert::Into<::std::string::String>) -> Self {
                    Self { kind: $kinds::$kind, what: what.into(), source: ::std::option::Option::None }
                }
                $(
                    $(#[$asks])*
                    pub fn $question(&self) -> bool {
                        self.kind == $kinds::$kind
                    }
                )?
            )+

            /// The same error with its cause.
            #[must_use]
            pub fn because(mut self, source: impl ::std::convert::Into<$crate::BoxError>) -> Self {
                self.source = ::std::option::Option::Some(source.into());
                self
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.what)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&$crate::chain(self), f)
            }
        }

        impl ::std::error::Error for $name {
            fn source(&self) -> ::std::option::Option<&(dyn ::std::error::Error + 'static)> {
                self.source.as_deref().map(|cause| cause as _)
            }
        }
    };
}

/// Returns `error` and its causes as one line: `what: its cause: the cause of that`.
///
/// ```
/// # use cutrickle_error::chain;
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(chain(&error).to_string(), "the disk is full");
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

/// Displays an error and its causes. Created by [`chain`].
#[derive(Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = one_line(self.0);
        let mut below = self.0.source();
        while let Some(cause) = below {
            let text = one_line(cause);
            // Errors of other libraries may include their cause in their own message.
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            below = cause.source();
        }
        f.write_str(&line)
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Joins the lines of a text with colons into one line, and stops at a backtrace. candle's errors have
/// several lines of context, and a backtrace if `RUST_BACKTRACE` requests one.
pub fn one_line(text: impl Display) -> String {
    let text = text.to_string();
    let mut line = String::with_capacity(text.len());
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            if part.starts_with("0: ") {
                break;
            }
            line.push_str(if line.ends_with(':') { " " } else { ": " });
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that may include its cause in its own message, as those of some libraries do.
    #[derive(Debug)]
    struct Told {
        text: &'static str,
        cause: Option<Box<Told>>,
    }

    impl Told {
        fn because(text: &'static str, cause: Told) -> Self {
            Self { text, cause: Some(Box::new(cause)) }
        }
    }

    impl Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.text)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.cause.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn each_cause_is_said_once_even_where_an_error_says_it_itself() {
        let disk = || Told { text: "the disk is full", cause: None };
        let file = Told::because("writing x", disk());
        assert_eq!(
            chain(&Told::because("recording", file)).to_string(),
            "recording: writing x: the disk is full"
        );
        let file = Told::because("writing x: the disk is full", disk());
        assert_eq!(
            chain(&Told::because("recording", file)).to_string(),
            "recording: writing x: the disk is full"
        );
    }

    declare! {
        /// Why a test failed.
        pub struct Declared: Kinds {
            /// A failure.
            Failed => pub(crate) failed;
            /// A refusal.
            Refused => pub(crate) refused,
                /// It was refused.
                is_refused;
        }
    }

    #[test]
    fn a_declared_error_says_its_cause_once_and_answers_its_question() {
        let error = Declared::failed("scaling").because(std::io::Error::other("no memory"));
        assert_eq!(
            (error.to_string(), format!("{error:?}")),
            ("scaling".into(), "scaling: no memory".into())
        );
        assert_eq!(chain(&error).to_string(), "scaling: no memory");
        assert!(!error.is_refused() && Declared::refused("scaling").is_refused());
    }

    #[test]
    fn lines_are_joined_and_a_backtrace_is_left_out() {
        let candle = "loading the weights\nshape mismatch\n\n   0: candle_core::error::Error::bt\n             at src/error.rs:264:25\n   1: main";
        assert_eq!(one_line(candle), "loading the weights: shape mismatch");
        let file = Told::because("reading x\n", Told { text: "0 bytes\n", cause: None });
        assert_eq!(chain(&file).to_string(), "reading x: 0 bytes");
        assert_eq!(one_line("Traceback:\n  line 1\n"), "Traceback: line 1");
        assert_eq!(one_line(""), "");
    }
}
