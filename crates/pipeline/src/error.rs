//! What can go wrong with a stream.

pub use cutrickle_error::BoxError;

cutrickle_error::declare! {
    /// Why a stream could not be started, or was ended.
    pub struct Error: Kind {
        /// An error of the caller's making: something was asked for that cannot be.
        Invalid => pub invalid,
            /// The request was wrong, and would be wrong again: a URL, a parameter.
            is_invalid;
        /// Something failed on the way.
        Failed => pub failed;
    }
}

/// The result of everything that a user of the framework calls or writes.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;
