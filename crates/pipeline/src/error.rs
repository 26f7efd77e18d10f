//! The errors of streams.

pub use cutrickle_error::BoxError;

cutrickle_error::declare! {
    /// A stream could not be started, or was ended.
    pub struct Error: Kind {
        /// A mistake of the caller: something impossible was requested.
        Invalid => pub invalid,
            /// The request was wrong, and would be wrong again: a URL, a parameter.
            is_invalid;
        /// Something failed while it was running.
        Failed => pub failed;
    }
}

/// The result of everything that users of the framework call or implement.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;
