//! Converts planar Y'CbCr of any depth up to 16 bits and any chroma subsampling to 8-bit 4:2:0.

use cutrickle_frame::{I420, Plane};

use crate::Result;

/// One plane lent by libavcodec. Samples have one byte, or two in little endian above 8 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples<'a> {
    pub(super) data: &'a [u8],
    /// Bytes from one row to the next.
    pub(super) stride: usize,
    /// Samples per row.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Binary logarithms of how many luma samples one sample covers, horizontally and vertically.
    pub(super) right: u8,
    pub(super) down: u8,
}

impl Samples<'_> {
    /// A missing plane, such as the chroma of grey pictures.
    pub(super) const NONE: Self = Self { data: &[], stride: 0, width: 0, height: 0, right: 0, down: 0 };

    /// The sample at a position, reduced to eight bits. Positions outside take the nearest border sample.
    fn at(&self, x: usize, y: usize, depth: u32) -> u32 {
        let (x, y) = (x.min(self.width.saturating_sub(1)), y.min(self.height.saturating_sub(1)));
        let byte = |place: usize| self.data.get(place).copied().unwrap_or(0);
        if depth <= 8 {
            return byte(y * self.stride + x).into();
        }
        let place = y * self.stride + 2 * x;
        let sample = u32::from(u16::from_le_bytes([byte(place), byte(place + 1)]));
        ((sample + (1 << (depth - 9))) >> (depth - 8)).min(255)
    }
}

/// Copies a picture; each chroma sample becomes the mean of the samples that it covers in 4:2:0.
pub(super) fn to_i420(width: u32, height: u32, depth: u32, planes: [Samples<'_>; 3]) -> Result<I420> {
    if depth <= 8 && planes[1..].iter().all(|plane| (plane.right, plane.down) == (1, 1)) {
        let whole =
            planes.map(|p| Plane { data: p.data, stride: p.stride, width: p.width, height: p.height });
        return Ok(I420::copy_from(width, height, whole)?);
    }
    let mut picture = I420::new(width, height)?;
    for (index, (to, from)) in picture.planes_mut().into_iter().zip(&planes).enumerate() {
        if from.data.is_empty() {
            continue;
        }
        let chroma = index > 0;
        let (right, down) = (step(chroma, from.right), step(chroma, from.down));
        for (y, row) in to.data.chunks_exact_mut(to.width).enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                let mut sum = right * down / 2;
                for dy in 0..down {
                    for dx in 0..right {
                        sum += from.at(x * right + dx, y * down + dy, depth) as usize;
                    }
                }
                *sample = (sum / (right * down)).min(255) as u8;
            }
        }
    }
    Ok(picture)
}

/// How many samples of a plane are averaged into one 4:2:0 sample, in one direction.
fn step(chroma: bool, covers: u8) -> usize {
    if chroma && covers == 0 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_bits_of_full_chroma_become_eight_of_a_quarter() {
        let luma: Vec<u8> = [0u16, 4, 512, 1023].iter().flat_map(|s| s.to_le_bytes()).collect();
        let chroma: Vec<u8> = [400u16, 400, 400, 800].iter().flat_map(|s| s.to_le_bytes()).collect();
        let plane = |data| Samples { data, stride: 4, width: 2, height: 2, right: 0, down: 0 };
        let picture = to_i420(2, 2, 10, [plane(&luma), plane(&chroma), plane(&chroma)]).unwrap();
        assert_eq!(picture.planes()[0].data, [0, 1, 128, 255]);
        assert_eq!(picture.planes()[1].data, [125]);
    }

    #[test]
    fn grey_pictures_get_neutral_chroma() {
        let plane = Samples { data: &[7; 4], stride: 2, width: 2, height: 2, right: 0, down: 0 };
        let picture = to_i420(2, 2, 8, [plane, Samples::NONE, Samples::NONE]).unwrap();
        assert_eq!((picture.planes()[0].data[3], picture.planes()[2].data[0]), (7, 128));
    }
}
