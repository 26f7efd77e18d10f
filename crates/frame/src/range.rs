//! Detects float pixels outside 0 to 1, which would otherwise silently be clipped to black or white.
//!
//! In CPU memory, a few values of each picture are checked. On a device, reading means waiting for it, so one
//! row is fetched from the first picture, the second, the fourth, and so on: twenty times in a million
//! pictures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};

/// Values checked per picture.
const SAMPLES: usize = 64;
/// Networks overshoot a little; values outside this range mean that another range was intended.
const PLAUSIBLE: std::ops::RangeInclusive<f32> = -0.5..=2.0;

static WATCH: Watch = Watch::new();

/// Warns once in the life of the program if float pixels have the wrong range.
pub(crate) fn watch(pixels: &Tensor) {
    if let Some((lowest, highest)) = WATCH.look(pixels) {
        tracing::warn!(
            "float pixels from {lowest} to {highest}: 0 to 1 is wanted, and what is beyond is cut off; divide them, or \
             hand over u8, which is 0 to 255"
        );
    }
}

struct Watch {
    pictures: AtomicU64,
    said: AtomicBool,
}

impl Watch {
    const fn new() -> Self {
        Self { pictures: AtomicU64::new(0), said: AtomicBool::new(false) }
    }

    /// Returns the range seen if it is wrong, once.
    fn look(&self, pixels: &Tensor) -> Option<(f32, f32)> {
        if pixels.dtype() == DType::U8 || self.said.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.pictures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !pixels.device().is_cpu() && !number.is_power_of_two() {
            return None;
        }
        let (lowest, highest) = range(pixels)?;
        let is_right = PLAUSIBLE.contains(&lowest) && PLAUSIBLE.contains(&highest);
        (!is_right && !self.said.swap(true, Ordering::Relaxed)).then_some((lowest, highest))
    }
}

/// The lowest and highest of a few values of `pixels`.
fn range(pixels: &Tensor) -> Option<(f32, f32)> {
    let fetched;
    let pixels = if pixels.device().is_cpu() {
        pixels
    } else {
        let row = pixels.narrow(0, pixels.dim(0).ok()? / 2, 1).ok()?;
        // A transfer copies a tensor's whole storage, which a narrowed row shares with its picture.
        fetched = row.force_contiguous().ok()?.to_device(&Device::Cpu).ok()?;
        &fetched
    };
    let (height, width, channels) = pixels.dims3().ok()?;
    let (storage, layout) = pixels.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return None };
    let [down, across, deep] = *layout.stride() else { return None };
    let value = |at: usize| {
        Some(match storage {
            CpuStorage::F32(all) => *all.get(at)?,
            CpuStorage::F16(all) => all.get(at)?.to_f32(),
            CpuStorage::BF16(all) => all.get(at)?.to_f32(),
            _ => return None,
        })
    };
    (0..SAMPLES)
        .filter_map(|n| {
            // The positions follow neither a row nor a diagonal, because edges and bars do.
            let (y, x) = (height * n / SAMPLES, width * (n * 37 % SAMPLES) / SAMPLES);
            value(layout.start_offset() + y * down + x * across + n % channels * deep)
        })
        .filter(|value| !value.is_nan())
        .fold(None, |range, value| {
            let (lowest, highest) = range.unwrap_or((value, value));
            Some((value.min(lowest), value.max(highest)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(low: f32, high: f32, dtype: DType) -> Tensor {
        let pixels = Tensor::rand(low, high, (48, 64, 3), &Device::Cpu).unwrap();
        pixels.to_dtype(dtype).unwrap()
    }

    #[test]
    fn a_wrong_range_is_told_once_whatever_the_type() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let watch = Watch::new();
            assert_eq!(watch.look(&picture(0.0, 1.0, dtype)), None);
            let (lowest, highest) = watch.look(&picture(0.0, 255.0, dtype)).unwrap();
            assert!(lowest >= 0.0 && (128.0..=255.0).contains(&highest), "{lowest} to {highest}");
            assert_eq!(watch.look(&picture(0.0, 255.0, dtype)), None);
        }
    }

    #[test]
    fn bright_u8_and_a_network_that_overshoots_are_right_and_signed_pixels_are_not() {
        let watch = Watch::new();
        assert_eq!(watch.look(&picture(0.0, 255.0, DType::U8)), None);
        assert_eq!(watch.look(&picture(-0.1, 1.2, DType::F32)), None);
        assert!(watch.look(&picture(-1.0, 1.0, DType::F32)).is_some());
    }

    #[test]
    fn pictures_after_black_ones_and_parts_of_tensors_are_looked_at_too() {
        let watch = Watch::new();
        for _ in 0..100 {
            assert_eq!(watch.look(&picture(0.0, 0.001, DType::F32)), None);
        }
        // The left half is black; then only the right half, with channels first in memory.
        let (black, bright) = (picture(0.0, 0.001, DType::F32), picture(100.0, 255.0, DType::F32));
        let both = Tensor::cat(&[black, bright], 1).unwrap();
        assert_eq!(watch.look(&both.narrow(1, 0, 64).unwrap()), None);
        let planar = both.permute((2, 0, 1)).unwrap().contiguous().unwrap();
        let half = planar.permute((1, 2, 0)).unwrap().narrow(1, 64, 64).unwrap();
        let (lowest, _) = watch.look(&half).unwrap();
        assert!(lowest >= 100.0, "{lowest}");
    }
}
