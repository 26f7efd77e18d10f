//! What can go wrong with the server itself. What can go wrong with a request is a
//! [`Refusal`](crate::refusal).

cutrickle_error::declare! {
    /// Why a server could not be built, bound or run.
    pub struct Error: Kind {
        /// A setting out of its range.
        Invalid => pub(crate) invalid,
            /// A setting is out of its range; the text names it.
            is_invalid;
        /// An address that is in use.
        Taken => pub(crate) taken,
            /// Something else listens on the address.
            is_address_in_use;
        /// A failure of `what`.
        Failed => pub(crate) failed;
    }
}
