//! Arithmetic on pixels in one pass over host memory, or as tensor operations elsewhere.
//!
//! Tensor operations on u8 pixels go through f32 and back, a pass over memory each; on a CPU, where memory is
//! the limit, one pass over the bytes is an order of magnitude faster.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// What a processor does to pixels of shape (H, W, 3), u8, said twice: the two must agree.
pub(crate) trait PixelMap {
    /// One row on the host: `from` and `to` are W pixels of three bytes.
    fn row(&self, from: &[u8], to: &mut [u8]);

    /// All of it, on any device.
    fn tensor(&self, rgb: &Tensor) -> Result<Tensor>;
}

/// `rgb` (H, W, 3), u8, through `map`.
pub(crate) fn apply(map: &impl PixelMap, rgb: &Tensor) -> Result<Tensor> {
    if rgb.device().is_cpu() { rgb.contiguous()?.apply_op1_no_bwd(&HostRows(map)) } else { map.tensor(rgb) }
}

struct HostRows<'a, M>(&'a M);

impl<M: PixelMap> CustomOp1 for HostRows<'_, M> {
    fn name(&self) -> &'static str {
        "pixel-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (height, width, channels) = layout.shape().dims3()?;
        let all: &[u8] = storage.as_slice()?;
        let Some(pixels) = layout.contiguous_offsets().and_then(|(start, end)| all.get(start..end)) else {
            candle_core::bail!("pixels that are not contiguous")
        };
        if channels != 3 {
            candle_core::bail!("pixels of {channels} channels, where 3 are needed")
        }
        let mut out = vec![0; height * width * 3];
        for (from, to) in pixels.chunks_exact(width * 3).zip(out.chunks_exact_mut(width * 3)) {
            self.0.row(from, to);
        }
        Ok((CpuStorage::U8(out), layout.shape().clone()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::Device;

    use super::*;

    /// Holds the two ways against each other on a picture that has every byte value in every channel.
    pub(crate) fn both_ways_agree(map: &impl PixelMap, tolerance: u8) {
        let bytes: Vec<u8> = (0..48u32 * 31 * 3).map(|n| (n * 7919 % 256) as u8).collect();
        let rgb = Tensor::from_vec(bytes, (31, 48, 3), &Device::Cpu).unwrap();
        let rows = apply(map, &rgb).unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let tensor = map.tensor(&rgb).unwrap();
        assert_eq!(tensor.dims(), [31, 48, 3]);
        let tensor = tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let worst = rows.iter().zip(&tensor).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= tolerance, "worst difference {worst}");
    }
}
