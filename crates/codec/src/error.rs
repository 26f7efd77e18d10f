//! The errors of codecs.

cutrickle_error::declare! {
    /// A unit could not be decoded or encoded, or a backend could not be opened.
    pub struct Error: Kind {
        /// A failure of `what`.
        Failed => pub failed;
        /// Input that the backend never supports. The message names what would support it.
        Unsupported => pub unsupported,
            /// The input is of a kind that this backend never supports, so trying the next unit is useless.
            is_unsupported;
    }
}

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<cutrickle_frame::Error> for Error {
    fn from(source: cutrickle_frame::Error) -> Self {
        Self::failed("frame").because(source)
    }
}
