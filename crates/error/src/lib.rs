//! How errors are printed: an error and its causes, in one line.
//!
//! The `Display` of an error in these crates is its own text without its cause, which `source()` gives. Whoever prints
//! an error to a person prints [`chain`] of it, so each cause is said exactly once. What went wrong where is the other
//! crates' to say.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Display};

/// `error` and what caused it as one line: `what: its cause: the cause of that`.
///
/// ```
/// # use cutrickle_error::chain;
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(chain(&error).to_string(), "the disk is full");
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

/// Displays an error and its causes. From [`chain`].
#[derive(Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = one_line(self.0);
        let mut below = self.0.source();
        while let Some(cause) = below {
            let text = one_line(cause);
            // Errors of other libraries may say their cause themselves.
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

/// A text as one line: its lines with colons between, up to a backtrace. candle's errors bring their context as lines,
/// and a backtrace where `RUST_BACKTRACE` asks for one.
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

    /// An error that may say its cause itself, as some libraries' do.
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
