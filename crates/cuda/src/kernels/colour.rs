//! The coefficients for conversions between Y'CbCr and R'G'B', in the form that the kernels take.

use cutrickle_media::ColourSpace;

use super::SurfaceFormat;

/// Q16 coefficients from code values to R'G'B' 0..255 (`FixedToRgb` of kernels/parameters.cuh):
/// red = (luma * Y + red_cr * Cr + red) >> 16, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FixedToRgb {
    /// The coefficient of luma for all three components.
    pub luma: i32,
    /// The coefficient of Cr for red.
    pub red_cr: i32,
    /// The coefficient of Cb for green.
    pub green_cb: i32,
    /// The coefficient of Cr for green.
    pub green_cr: i32,
    /// The coefficient of Cb for blue.
    pub blue_cb: i32,
    /// The offset of red, which compensates for the codes of black and neutral and adds half a step.
    pub red: i32,
    /// The offset of green.
    pub green: i32,
    /// The offset of blue.
    pub blue: i32,
}

/// Coefficients from code values to R'G'B' 0..1 (`FloatToRgb` of kernels/parameters.cuh).
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct FloatToRgb {
    /// The coefficient of luma for all three components.
    pub luma: f32,
    /// The coefficient of Cr for red.
    pub red_cr: f32,
    /// The coefficient of Cb for green.
    pub green_cb: f32,
    /// The coefficient of Cr for green.
    pub green_cr: f32,
    /// The coefficient of Cb for blue.
    pub blue_cb: f32,
    /// The offset of red, which compensates for the codes of black and neutral.
    pub red: f32,
    /// The offset of green.
    pub green: f32,
    /// The offset of blue.
    pub blue: f32,
}

/// Q16 coefficients from R'G'B' 0..255 to 8-bit codes (`FixedToYuv` of kernels/parameters.cuh).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FixedToYuv {
    /// The coefficients of red, green and blue for luma.
    pub luma: [i32; 3],
    /// The coefficients of red, green and blue for Cb.
    pub cb: [i32; 3],
    /// The coefficients of red, green and blue for Cr.
    pub cr: [i32; 3],
    /// The code of black plus half a step.
    pub luma_offset: i32,
    /// The code of neutral plus half a step.
    pub chroma_offset: i32,
}

/// One in Q16.
const ONE: f64 = 65_536.0;
/// Half a step in Q16, so that shifting right rounds to nearest.
const HALF: i32 = 32_768;

/// The exact coefficients from code values to R'G'B' 0..1: the equations of H.273, section 8.3, for range and
/// matrix, solved for R'G'B'.
struct ToUnit {
    luma: f64,
    red_cr: f64,
    green_cb: f64,
    green_cr: f64,
    blue_cb: f64,
    black: f64,
    neutral: f64,
}

impl ToUnit {
    fn new(colour: ColourSpace, depth: u32) -> Self {
        let step = f64::from(1u32 << (depth - 8));
        let (luma_codes, chroma_codes, black) = match colour.full_range {
            true => (256.0 * step - 1.0, 256.0 * step - 1.0, 0.0),
            false => (219.0 * step, 224.0 * step, 16.0 * step),
        };
        let (kr, kb) = colour.matrix.weights();
        let kg = 1.0 - kr - kb;
        let (red_cr, blue_cb) = (2.0 * (1.0 - kr) / chroma_codes, 2.0 * (1.0 - kb) / chroma_codes);
        Self {
            luma: 1.0 / luma_codes,
            red_cr,
            green_cb: -kb / kg * blue_cb,
            green_cr: -kr / kg * red_cr,
            blue_cb,
            black,
            neutral: 128.0 * step,
        }
    }
}

impl FixedToRgb {
    /// Returns the coefficients for pictures of `format` in `colour`.
    pub fn new(colour: ColourSpace, format: SurfaceFormat) -> Self {
        let exact = ToUnit::new(colour, format.depth());
        let fixed = |coefficient: f64| (coefficient * 255.0 * ONE).round() as i32;
        let (black, neutral) = (exact.black as i32, exact.neutral as i32);
        let (luma, red_cr, blue_cb) = (fixed(exact.luma), fixed(exact.red_cr), fixed(exact.blue_cb));
        let (green_cb, green_cr) = (fixed(exact.green_cb), fixed(exact.green_cr));
        // Computed from the rounded coefficients, so that grey is exactly grey.
        let offset = |chroma: i32| HALF - luma * black - chroma * neutral;
        Self {
            luma,
            red_cr,
            green_cb,
            green_cr,
            blue_cb,
            red: offset(red_cr),
            green: offset(green_cb + green_cr),
            blue: offset(blue_cb),
        }
    }
}

impl FloatToRgb {
    /// Returns the coefficients for pictures of `format` in `colour`.
    pub fn new(colour: ColourSpace, format: SurfaceFormat) -> Self {
        let exact = ToUnit::new(colour, format.depth());
        let offset = |chroma: f64| (-exact.luma * exact.black - chroma * exact.neutral) as f32;
        Self {
            luma: exact.luma as f32,
            red_cr: exact.red_cr as f32,
            green_cb: exact.green_cb as f32,
            green_cr: exact.green_cr as f32,
            blue_cb: exact.blue_cb as f32,
            red: offset(exact.red_cr),
            green: offset(exact.green_cb + exact.green_cr),
            blue: offset(exact.blue_cb),
        }
    }
}

impl FixedToYuv {
    /// Returns the coefficients for 8-bit pictures in `colour` (the equations of H.273, section 8.3).
    pub fn new(colour: ColourSpace) -> Self {
        let (luma_codes, chroma_codes, black) = match colour.full_range {
            true => (255.0, 255.0, 0),
            false => (219.0, 224.0, 16),
        };
        let (kr, kb) = colour.matrix.weights();
        let fixed = |coefficient: f64, codes: f64| (coefficient * codes / 255.0 * ONE).round() as i32;
        let (red, blue) = (fixed(kr, luma_codes), fixed(kb, luma_codes));
        let half = fixed(0.5, chroma_codes);
        let (red_cb, blue_cr) =
            (-fixed(kr / (2.0 - 2.0 * kb), chroma_codes), -fixed(kb / (2.0 - 2.0 * kr), chroma_codes));
        // Green gets the remainder, so that white is exactly white and grey is exactly neutral.
        Self {
            luma: [red, fixed(1.0, luma_codes) - red - blue, blue],
            cb: [red_cb, -half - red_cb, half],
            cr: [half, -half - blue_cr, blue_cr],
            luma_offset: (black << 16) + HALF,
            chroma_offset: (128 << 16) + HALF,
        }
    }
}
