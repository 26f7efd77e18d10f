//! The errors of frames.

cutrickle_error::declare! {
    /// A frame could not be built, converted or scaled.
    pub struct Error: Kind {
        /// Creates an error with a message that says what was requested, and of what.
        Failed => pub new;
    }
}

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::new("tensor operation").because(source)
    }
}
