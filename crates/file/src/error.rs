//! Why a file cannot be an end of a stream.

cutrickle_error::declare! {
    /// Why a file cannot be read or written. Its text begins with the file's name.
    pub struct Error: Kind {
        /// The file system refused, or the content is damaged.
        Failed => pub(crate) failed;
        /// A container or a codec that nothing here reads or writes.
        Unsupported => pub(crate) unsupported,
            /// The file is of another kind than those that are read and written here.
            is_unsupported;
        /// A file that must not be replaced.
        Existing => pub(crate) existing,
            /// There is a file of that name already.
            is_existing;
    }
}

/// What opening a file gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
