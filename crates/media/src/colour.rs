//! The colour of a picture's samples: the video usability information of H.264 and H.265 (both Annex E),
//! whose code points are those of ITU-T H.273.

/// The matrix between R'G'B' and Y'CbCr (H.273, table 4, `MatrixCoefficients`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601: code points 5 (625 lines) and 6 (525 lines), whose coefficients are the same.
    Bt601,
    /// ITU-R BT.709: code point 1.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance: code point 9.
    Bt2020,
}

impl Matrix {
    /// K_R and K_B of H.273, table 4.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// The part of a picture's colour that conversion to R'G'B' needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColourSpace {
    /// The matrix between R'G'B' and Y'CbCr.
    pub matrix: Matrix,
    /// Whether samples use all codes (`VideoFullRangeFlag`) instead of 16..=235 and 16..=240 in 8 bits.
    pub full_range: bool,
}

/// How to interpret a picture's samples.
///
/// `primaries` and `transfer` are passed on without being interpreted: a processor sees the stream's own
/// R'G'B'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// The matrix between R'G'B' and Y'CbCr.
    pub matrix: Matrix,
    /// Whether samples use all of 0..=255 (`VideoFullRangeFlag`) instead of 16..=235 and 16..=240.
    pub full_range: bool,
    /// `ColourPrimaries` of H.273, table 2; 2 is "unspecified".
    pub primaries: u8,
    /// `TransferCharacteristics` of H.273, table 3; 2 is "unspecified".
    pub transfer: u8,
}

impl Colour {
    /// BT.601, limited range.
    pub const BT601: Self = Self { matrix: Matrix::Bt601, full_range: false, primaries: 6, transfer: 6 };
    /// BT.709, limited range.
    pub const BT709: Self = Self { matrix: Matrix::Bt709, full_range: false, primaries: 1, transfer: 1 };
    /// BT.2020 non-constant luminance, limited range.
    pub const BT2020: Self = Self { matrix: Matrix::Bt2020, full_range: false, primaries: 9, transfer: 14 };

    /// Returns the colour that a stream signals with its H.273 code points.
    ///
    /// If the matrix is unspecified (code point 2) or one that 8-bit Y'CbCr video does not use, the usual
    /// default of players applies: BT.709 from 720 lines up, BT.601 below.
    pub fn from_vui(matrix: u8, primaries: u8, transfer: u8, full_range: bool, height: u32) -> Self {
        let matrix = match matrix {
            1 => Matrix::Bt709,
            5 | 6 => Matrix::Bt601,
            9 | 10 => Matrix::Bt2020,
            _ if height >= 720 => Matrix::Bt709,
            _ => Matrix::Bt601,
        };
        Self { matrix, full_range, primaries, transfer }
    }

    /// Returns the colour of a stream with `height` lines that does not signal any.
    pub fn unspecified(height: u32) -> Self {
        Self::from_vui(2, 2, 2, false, height)
    }

    /// Returns the part that conversion to R'G'B' needs.
    pub fn space(&self) -> ColourSpace {
        ColourSpace { matrix: self.matrix, full_range: self.full_range }
    }

    /// The `MatrixCoefficients` of H.273 that an encoder signals.
    pub fn matrix_code(&self) -> u8 {
        match self.matrix {
            Matrix::Bt601 => 6,
            Matrix::Bt709 => 1,
            Matrix::Bt2020 => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signalled_colour_wins_over_size() {
        assert_eq!(Colour::from_vui(6, 6, 6, false, 1080), Colour::BT601);
        assert_eq!(Colour::from_vui(1, 1, 1, false, 240), Colour::BT709);
        assert_eq!(Colour::from_vui(9, 9, 14, false, 240), Colour::BT2020);
        assert!(Colour::from_vui(1, 1, 1, true, 240).full_range);
    }

    #[test]
    fn unspecified_colour_goes_by_the_number_of_lines() {
        assert_eq!(Colour::unspecified(576).matrix, Matrix::Bt601);
        assert_eq!(Colour::unspecified(720).matrix, Matrix::Bt709);
    }

    #[test]
    fn matrix_codes_survive_a_round_trip() {
        for colour in [Colour::BT601, Colour::BT709, Colour::BT2020] {
            let again = Colour::from_vui(colour.matrix_code(), colour.primaries, colour.transfer, false, 2);
            assert_eq!(again, colour);
        }
    }
}
