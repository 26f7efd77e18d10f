//! A planar 4:2:0 picture in CPU memory.

use crate::{Error, Result};

/// The largest width or height of a picture in pixels, above the highest levels of H.264 and H.265.
const MAX_SIDE: u32 = 16_384;

/// An 8-bit 4:2:0 picture: a luma plane (width x height) and two chroma planes, each half as wide and half as
/// high, rounded up. Rows are packed, so a plane's stride is its width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I420 {
    width: u32,
    height: u32,
    samples: Vec<u8>,
}

/// A plane to read from. Rows are `stride` bytes apart, and their first `width` bytes are pixels.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The samples, at least `stride * (height - 1) + width` of them.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// A packed plane to write to, whose stride is its width.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The samples, `width * height` of them.
    pub data: &'a mut [u8],
    /// Samples per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl I420 {
    /// Creates a black picture (limited range: luma 16, chroma 128) of `width` x `height` pixels.
    ///
    /// # Errors
    /// Fails if a side is 0 or above 16384.
    pub fn new(width: u32, height: u32) -> Result<Self> {
        let (luma, chroma) = plane_sizes(width, height)?;
        let mut samples = vec![16; luma + 2 * chroma];
        samples[luma..].fill(128);
        Ok(Self { width, height, samples })
    }

    /// Copies a picture from three planes of any stride, as decoders lend them.
    ///
    /// # Errors
    /// Fails if a side is 0 or above 16384, if a plane does not have the size that `width` and `height`
    /// require, or if a plane is shorter than its rows.
    pub fn copy_from(width: u32, height: u32, planes: [Plane<'_>; 3]) -> Result<Self> {
        let (luma, chroma) = plane_sizes(width, height)?;
        let mut samples = Vec::with_capacity(luma + 2 * chroma);
        let (chroma_width, chroma_height) = chroma_size(width, height);
        let sizes =
            [(width as usize, height as usize), (chroma_width, chroma_height), (chroma_width, chroma_height)];
        for (plane, (w, h)) in planes.iter().zip(sizes) {
            if (plane.width, plane.height) != (w, h) {
                return Err(Error::new(format!(
                    "a plane of {}x{} in a 4:2:0 picture of {width}x{height}, where {w}x{h} belongs",
                    plane.width, plane.height
                )));
            }
            if plane.stride == w {
                let whole = plane.data.get(..w * h).ok_or_else(|| short_plane(plane))?;
                samples.extend_from_slice(whole);
                continue;
            }
            for row in 0..h {
                let start = row * plane.stride;
                let row = plane.data.get(start..start + w).ok_or_else(|| short_plane(plane))?;
                samples.extend_from_slice(row);
            }
        }
        Ok(Self { width, height, samples })
    }

    /// Checks that a picture may have this size.
    pub(crate) fn check_size(width: usize, height: usize) -> Result<()> {
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        plane_sizes(side(width), side(height)).map(|_| ())
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The planes Y, U, V.
    pub fn planes(&self) -> [Plane<'_>; 3] {
        let luma = self.width as usize * self.height as usize;
        let (width, height) = chroma_size(self.width, self.height);
        let (y, chroma) = self.samples.split_at(luma);
        let (u, v) = chroma.split_at(width * height);
        [
            Plane {
                data: y,
                stride: self.width as usize,
                width: self.width as usize,
                height: self.height as usize,
            },
            Plane { data: u, stride: width, width, height },
            Plane { data: v, stride: width, width, height },
        ]
    }

    /// The planes Y, U, V, for writing.
    pub fn planes_mut(&mut self) -> [PlaneMut<'_>; 3] {
        let luma = self.width as usize * self.height as usize;
        let (width, height) = chroma_size(self.width, self.height);
        let (y, chroma) = self.samples.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(width * height);
        [
            PlaneMut { data: y, width: self.width as usize, height: self.height as usize },
            PlaneMut { data: u, width, height },
            PlaneMut { data: v, width, height },
        ]
    }
}

fn chroma_size(width: u32, height: u32) -> (usize, usize) {
    (width.div_ceil(2) as usize, height.div_ceil(2) as usize)
}

/// The number of samples in the luma plane and in one chroma plane.
fn plane_sizes(width: u32, height: u32) -> Result<(usize, usize)> {
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(Error::new(format!(
            "a picture of {width}x{height}: sides from 1 to {MAX_SIDE} are possible"
        )));
    }
    let (chroma_width, chroma_height) = chroma_size(width, height);
    Ok((width as usize * height as usize, chroma_width * chroma_height))
}

fn short_plane(plane: &Plane<'_>) -> Error {
    Error::new(format!(
        "a plane of {}x{} with stride {} in {} bytes",
        plane.width,
        plane.height,
        plane.stride,
        plane.data.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        let picture = I420::new(3, 5).unwrap();
        let [y, u, v] = picture.planes();
        assert_eq!((y.data.len(), u.data.len(), v.data.len()), (15, 6, 6));
        assert_eq!((u.width, u.height), (2, 3));
    }

    #[test]
    fn strides_are_left_behind() {
        let y = [1, 2, 0, 3, 4, 0];
        let c = [7, 9];
        let plane = |data, stride, width, height| Plane { data, stride, width, height };
        let planes = [plane(&y[..], 3, 2, 2), plane(&c[..1], 2, 1, 1), plane(&c[1..], 2, 1, 1)];
        let picture = I420::copy_from(2, 2, planes).unwrap();
        assert_eq!(picture.planes()[0].data, [1, 2, 3, 4]);
        assert_eq!(picture.planes()[2].data, [9]);
    }

    #[test]
    fn short_or_misshapen_planes_are_refused() {
        let data = [0u8; 4];
        let plane = |width, height| Plane { data: &data, stride: 2, width, height };
        assert!(I420::copy_from(4, 4, [plane(4, 4), plane(2, 2), plane(2, 2)]).is_err());
        assert!(I420::copy_from(2, 2, [plane(2, 2), plane(2, 2), plane(1, 1)]).is_err());
        assert!(I420::new(0, 4).is_err());
        assert!(I420::new(4, 20_000).is_err());
    }
}
