//! The shim's conversions, which stand in for the device's and so have to follow IEEE 754.

use cutrickle_host_kernels::{round_to_bfloat, round_to_half};

use crate::reference;

/// Checks, for every pair of neighbours, both of them, their middle (which goes to the even one), and the
/// floats next to the middle.
fn assert_rounds_to_nearest_even(
    round: impl Fn(f32) -> u16,
    value: impl Fn(u16) -> f64,
    infinity: u16,
    beyond: f64,
) {
    for bits in 0..infinity {
        let here = value(bits);
        let next = if bits + 1 == infinity { beyond } else { value(bits + 1) };
        let middle = (here + next) / 2.0;
        for sign in [1.0, -1.0] {
            let mark = if sign < 0.0 { 0x8000 } else { 0 };
            assert_eq!(round((sign * here) as f32), mark | bits);
            let middle = (sign * middle) as f32;
            assert_eq!(round(middle), mark | (bits + (bits & 1)), "{middle:e}");
            let (nearer, farther) =
                (f32::from_bits(middle.to_bits() - 1), f32::from_bits(middle.to_bits() + 1));
            assert_eq!(round(nearer), mark | bits, "{nearer:e}");
            assert_eq!(round(farther), mark | (bits + 1), "{farther:e}");
        }
    }
}

#[test]
fn halves_are_rounded_to_nearest_even() {
    assert_rounds_to_nearest_even(round_to_half, reference::half, 0x7C00, 65_536.0);
    assert_eq!(round_to_half(f32::INFINITY), 0x7C00);
    assert!(reference::half(round_to_half(f32::NAN)).is_nan());
}

#[test]
fn bfloats_are_rounded_to_nearest_even() {
    assert_rounds_to_nearest_even(round_to_bfloat, reference::bfloat, 0x7F80, 2f64.powi(128));
    assert_eq!(round_to_bfloat(f32::NEG_INFINITY), 0xFF80);
    assert!(reference::bfloat(round_to_bfloat(f32::NAN)).is_nan());
}
