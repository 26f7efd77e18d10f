//! What a stream signals about its colours.

/// Code points of ITU-T H.273, 2 being "unspecified".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// `ColourPrimaries` (table 2).
    pub primaries: u8,
    /// `TransferCharacteristics` (table 3).
    pub transfer: u8,
    /// `MatrixCoefficients` (table 4).
    pub matrix: u8,
    /// `VideoFullRangeFlag`.
    pub full_range: bool,
}
