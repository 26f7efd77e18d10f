//! The muxer's errors. The demuxer never fails on its input: see its statistics and losses.

cutrickle_error::declare! {
    /// An error of the muxer.
    pub struct Error: Kind {
        /// An invalid program.
        BadProgram => pub(crate) bad_program,
            /// The program has no track.
            is_bad_program;
        /// A unit of a track or codec that the program lacks.
        UnknownTrack => pub(crate) unknown_track,
            /// The program has no such track, or its codec differs.
            is_unknown_track;
        /// A unit without bytes.
        Empty => pub(crate) empty_unit,
            /// The unit has no bytes.
            is_empty_unit;
        /// A unit with too many bytes.
        TooLarge => pub(crate) too_large,
            /// The unit does not fit a PES packet.
            is_too_large;
    }
}

/// The result of this crate's fallible operations.
pub type Result<T> = std::result::Result<T, Error>;
