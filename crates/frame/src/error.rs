//! What can go wrong with a frame.

cutrickle_error::declare! {
    /// Why a frame could not be built, converted or scaled.
    pub struct Error: Kind {
        /// An error with a text of its own: what was asked, and of what.
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
