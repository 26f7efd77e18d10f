//! Blends one picture over another: with the kernel `overlay_blend`, or with the same arithmetic on the CPU.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, bail};
use cutrickle_cuda::kernels::covered;

use crate::{Error, Result, VideoFrame};

impl VideoFrame {
    /// Blends `picture` over the frame's pixels. The picture is (H', W', 4), u8, RGBA with straight alpha, on
    /// the frame's device; its first pixel goes to column and row `at` of the frame, and parts outside the
    /// frame are clipped. A frame with 1 or 4 channels becomes one with 3.
    ///
    /// # Errors
    /// Fails for another shape, type or device, or if the conversion or the device fails.
    pub fn overlay(self, picture: &Tensor, at: [i32; 2]) -> Result<Self> {
        if !matches!(picture.dims(), [_, _, 4]) || picture.elem_count() == 0 || picture.dtype() != DType::U8 {
            return Err(Error::new(format!(
                "an overlay of shape {:?} and type {:?}: (H, W, 4) of u8 is wanted",
                picture.shape(),
                picture.dtype()
            )));
        }
        let pixels = self.tensor()?;
        // The frame's pixels may be shared, so the overlay is drawn on a copy.
        let pixels = match pixels.dim(2)? {
            1 => pixels.repeat((1, 1, 3))?,
            4 => pixels.narrow(2, 0, 3)?.force_contiguous()?,
            _ => pixels.force_contiguous()?,
        };
        pixels.inplace_op2(&picture.contiguous()?, &Over { at })?;
        self.replace_tensor(pixels)
    }
}

/// Blends RGBA over packed RGB.
struct Over {
    at: [i32; 2],
}

impl InplaceOp2 for Over {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        of_target: &Layout,
        picture: &CpuStorage,
        of_picture: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::U8(target), CpuStorage::U8(picture)) = (target, picture) else {
            bail!("an overlay of other than u8")
        };
        let (Some((from, to)), Some((picture_from, picture_to))) =
            (of_target.contiguous_offsets(), of_picture.contiguous_offsets())
        else {
            bail!("an overlay of pixels that are not packed")
        };
        let ((height, width, _), (rows, columns, _)) =
            (of_target.shape().dims3()?, of_picture.shape().dims3()?);
        let [x, y] = self.at;
        let (Some((left, right)), Some((top, bottom))) =
            (covered(x, columns as u32, width as u32), covered(y, rows as u32, height as u32))
        else {
            return Ok(());
        };
        let lines = target[from..to].chunks_exact_mut(3 * width).enumerate();
        for (line, under) in lines.take(bottom as usize).skip(top as usize) {
            let row = (line as i64 - i64::from(y)) as usize;
            let column = (i64::from(left) - i64::from(x)) as usize;
            let over = &picture[picture_from..picture_to][4 * (row * columns + column)..];
            let under = &mut under[3 * left as usize..3 * right as usize];
            for (under, over) in under.chunks_exact_mut(3).zip(over.chunks_exact(4)) {
                for (under, value) in under.iter_mut().zip(&over[..3]) {
                    *under = blend(*value, *under, over[3]);
                }
            }
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        target: &mut candle_core::CudaStorage,
        of_target: &Layout,
        picture: &candle_core::CudaStorage,
        of_picture: &Layout,
    ) -> candle_core::Result<()> {
        crate::cuda::overlay(target, of_target, picture, of_picture, self.at)
    }
}

/// (over * alpha + under * (255 - alpha)) / 255, correctly rounded, as in kernels/overlay.cu.
fn blend(over: u8, under: u8, alpha: u8) -> u8 {
    let (over, under, alpha) = (u32::from(over), u32::from(under), u32::from(alpha));
    let sum = over * alpha + under * (255 - alpha) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cutrickle_media::Timestamp;

    use super::*;

    /// A picture in which every byte is different.
    fn bytes(height: usize, width: usize, channels: usize, seed: usize) -> Tensor {
        let byte = |i: usize| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 977) >> 7) as u8;
        let all: Vec<u8> = (0..height * width * channels).map(byte).collect();
        Tensor::from_vec(all, (height, width, channels), &Device::Cpu).unwrap()
    }

    #[test]
    fn every_blend_is_correctly_rounded() {
        for (over, under, alpha) in
            (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| (a, b, a ^ b.rotate_left(3))))
        {
            let share = f64::from(alpha) / 255.0;
            let exact = f64::from(over) * share + f64::from(under) * (1.0 - share);
            assert_eq!(f64::from(blend(over, under, alpha)), exact.round(), "{over} over {under} by {alpha}");
        }
    }

    #[test]
    fn pixels_lie_where_they_are_put_and_what_is_outside_is_left_out() {
        let (height, width) = (9, 14);
        let target = bytes(height, width, 3, 1);
        let before = target.to_vec3::<u8>().unwrap();
        let picture = bytes(4, 6, 4, 2);
        let over = picture.to_vec3::<u8>().unwrap();
        for at in [[0, 0], [3, 2], [-2, -3], [11, 7], [14, 0], [0, -4], [i32::MIN, i32::MAX]] {
            let frame = VideoFrame::from_tensor(target.clone(), Timestamp::from_ticks(7))
                .unwrap()
                .overlay(&picture, at)
                .unwrap();
            assert_eq!(frame.timestamp().ticks(), 7);
            let after = frame.tensor().unwrap().to_vec3::<u8>().unwrap();
            for (y, x, c) in
                (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| (y, x, c))))
            {
                let place = |along: usize, at: i32| usize::try_from(along as i64 - i64::from(at)).ok();
                let pixel = place(y, at[1]).zip(place(x, at[0])).and_then(|(y, x)| over.get(y)?.get(x));
                let wanted = pixel.map_or(before[y][x][c], |over| blend(over[c], before[y][x][c], over[3]));
                assert_eq!(after[y][x][c], wanted, "column {x}, row {y}, at {at:?}");
            }
        }
        assert_eq!(target.to_vec3::<u8>().unwrap(), before, "what others hold is not drawn on");
    }

    #[test]
    fn frames_of_any_channels_are_drawn_on_and_other_overlays_are_refused() {
        for channels in [1, 3, 4] {
            let frame = VideoFrame::from_tensor(bytes(4, 4, channels, 3), Timestamp::ZERO).unwrap();
            let drawn = frame.overlay(&bytes(2, 2, 4, 4), [1, 1]).unwrap();
            assert_eq!(drawn.tensor().unwrap().dims(), [4, 4, 3]);
        }
        let frame = VideoFrame::from_tensor(bytes(4, 4, 3, 3), Timestamp::ZERO).unwrap();
        let said = frame.overlay(&bytes(2, 2, 3, 4), [1, 1]).unwrap_err().to_string();
        assert!(said.contains("(H, W, 4)"), "{said}");
    }
}
