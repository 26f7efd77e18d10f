//! The standard's equations (H.273, 8.3) in f64, written independently of the coefficients that the kernels
//! get.

use cutrickle_media::{ColourSpace, Matrix};

fn weights(colour: ColourSpace) -> [f64; 3] {
    match colour.matrix {
        Matrix::Bt601 => [0.299, 0.587, 0.114],
        Matrix::Bt709 => [0.2126, 0.7152, 0.0722],
        Matrix::Bt2020 => [0.2627, 0.6780, 0.0593],
    }
}

/// The unclamped R'G'B' (0 to 1) of code values of `depth` bits.
pub fn to_rgb(colour: ColourSpace, depth: u32, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let max = f64::from((1u32 << depth) - 1);
    let scale = f64::from(1u32 << (depth - 8));
    let middle = f64::from(1u32 << (depth - 1));
    let (ey, epb, epr) = if colour.full_range {
        (y / max, (cb - middle) / max, (cr - middle) / max)
    } else {
        ((y / scale - 16.0) / 219.0, (cb - middle) / (224.0 * scale), (cr - middle) / (224.0 * scale))
    };
    let [kr, kg, kb] = weights(colour);
    let red = ey + 2.0 * (1.0 - kr) * epr;
    let blue = ey + 2.0 * (1.0 - kb) * epb;
    [red, (ey - kr * red - kb * blue) / kg, blue]
}

/// The 8-bit code values of R'G'B' (0 to 1), neither rounded nor clamped.
pub fn to_yuv(colour: ColourSpace, [red, green, blue]: [f64; 3]) -> [f64; 3] {
    let [kr, kg, kb] = weights(colour);
    let ey = kr * red + kg * green + kb * blue;
    let epb = 0.5 * (blue - ey) / (1.0 - kb);
    let epr = 0.5 * (red - ey) / (1.0 - kr);
    if colour.full_range {
        [255.0 * ey, 255.0 * epb + 128.0, 255.0 * epr + 128.0]
    } else {
        [219.0 * ey + 16.0, 224.0 * epb + 128.0, 224.0 * epr + 128.0]
    }
}

/// The nearest byte.
pub fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// The value of a binary16.
pub fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3FF);
    let magnitude = match bits >> 10 & 0x1F {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// The value of a bfloat16.
pub fn bfloat(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// Asserts that every byte differs from the expected one by at most 1.
pub fn assert_within_one(got: &[u8], want: impl Iterator<Item = u8>, what: &str) {
    let mut count = 0;
    for (i, want) in want.enumerate() {
        assert!(got[i].abs_diff(want) <= 1, "{what}: byte {i} is {}, not {want}", got[i]);
        count += 1;
    }
    assert_eq!(count, got.len(), "{what}");
}
