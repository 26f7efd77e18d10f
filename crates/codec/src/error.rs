//! What can go wrong in a codec.

cutrickle_error::declare! {
    /// Why a unit could not be decoded or encoded, or a backend not opened.
    pub struct Error: Kind {
        /// A failure of `what`.
        Failed => pub failed;
        /// Input that the backend will never take, and what would.
        Unsupported => pub unsupported,
            /// The input is of a kind that this backend never takes: trying the next unit is useless.
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
