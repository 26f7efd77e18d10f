//! The form in which a decoded picture is mapped: cropped, resized, and stored as NV12 or P016 with a pitch.

use super::software::{Plane, Planes};

/// A rectangle in pixels. `right` and `bottom` are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) right: u32,
    pub(super) bottom: u32,
}

impl Area {
    /// Reads an area from a struct's numbers, where all zeros stand for the whole picture. Returns `None` if
    /// the area does not lie within a picture of this size.
    pub(super) fn new([left, top, right, bottom]: [i16; 4], (width, height): (u32, u32)) -> Option<Self> {
        if [left, top, right, bottom] == [0; 4] {
            return Some(Self { left: 0, top: 0, right: width, bottom: height });
        }
        let side = |number: i16| u32::try_from(number).ok();
        let area = Self { left: side(left)?, top: side(top)?, right: side(right)?, bottom: side(bottom)? };
        let inside =
            area.left < area.right && area.top < area.bottom && area.right <= width && area.bottom <= height;
        inside.then_some(area)
    }

    fn size(&self) -> (u32, u32) {
        (self.right - self.left, self.bottom - self.top)
    }

    fn halved(&self) -> Self {
        Self {
            left: self.left / 2,
            top: self.top / 2,
            right: self.right.div_ceil(2),
            bottom: self.bottom.div_ceil(2),
        }
    }
}

/// How a decoder hands out its pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// The part of the coded picture that is shown.
    pub(super) shown: Area,
    /// The part of the surface that it is scaled to.
    pub(super) placed: Area,
    /// The surface's size in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits per sample.
    pub(super) depth: u32,
}

impl Layout {
    /// Bytes per sample. Samples of more than 8 bits take the upper bits of two little-endian bytes.
    fn sample(&self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// Bytes from one row to the next. Always more than a row has, so that confusing the two shows.
    pub(super) fn pitch(&self) -> usize {
        (self.width as usize * self.sample() + 1).next_multiple_of(512)
    }

    /// The number of rows of luma; chroma follows them.
    fn rows(&self) -> usize {
        (self.height as usize).next_multiple_of(2)
    }

    pub(super) fn size(&self) -> usize {
        self.pitch() * (self.rows() + self.rows() / 2)
    }

    /// The surface's bytes. Bytes outside of any row stay 0xDB, and pixels outside of `placed` are black.
    pub(super) fn fill(&self, picture: &Planes) -> Vec<u8> {
        let (pitch, sample) = (self.pitch(), self.sample());
        let mut bytes = vec![0xDB; self.size()];
        let width = (self.width as usize).next_multiple_of(2);
        for (y, row) in bytes.chunks_exact_mut(pitch).enumerate() {
            let black = if y < self.rows() { 16 } else { 128 };
            row[..width * sample]
                .chunks_exact_mut(sample)
                .for_each(|at| self.put(black << (self.depth - 8), at));
        }
        let [luma, cb, cr] = &picture.planes;
        let (luma_to, chroma_to) = bytes.split_at_mut(pitch * self.rows());
        self.resample(luma, self.shown, luma_to, self.placed, sample);
        for (offset, plane) in [cb, cr].into_iter().enumerate() {
            let to = &mut chroma_to[offset * sample..];
            self.resample(plane, self.shown.halved(), to, self.placed.halved(), 2 * sample);
        }
        bytes
    }

    fn put(&self, value: u16, at: &mut [u8]) {
        match at {
            [low, high, ..] if self.depth > 8 => [*low, *high] = (value << (16 - self.depth)).to_le_bytes(),
            [one, ..] => *one = value as u8,
            [] => {}
        }
    }

    /// Resamples bilinearly, or copies where both sizes are the same. `step` is the number of bytes from one
    /// sample to the next.
    ///
    /// Samples beyond the plane's edge repeat its last ones, because a coded picture may be larger than what
    /// its decoder hands out.
    fn resample(&self, plane: &Plane, from: Area, to: &mut [u8], at: Area, step: usize) {
        let sample = |x: usize, y: usize| {
            let (x, y) = (x.min(plane.width - 1), y.min(plane.height - 1));
            plane.samples[y * plane.width + x]
        };
        let (width, height) = at.size();
        let scale =
            (f64::from(from.size().0) / f64::from(width), f64::from(from.size().1) / f64::from(height));
        let same = from.size() == at.size();
        for y in 0..height {
            for x in 0..width {
                let value = if same {
                    sample((from.left + x) as usize, (from.top + y) as usize)
                } else {
                    let place = |n: u32, scale: f64, begin: u32| {
                        let place = ((f64::from(n) + 0.5) * scale - 0.5).max(0.0);
                        (begin as usize + place as usize, place.fract())
                    };
                    let ((x, right), (y, below)) =
                        (place(x, scale.0, from.left), place(y, scale.1, from.top));
                    let across =
                        |y| f64::from(sample(x, y)) * (1.0 - right) + f64::from(sample(x + 1, y)) * right;
                    (across(y) * (1.0 - below) + across(y + 1) * below).round() as u16
                };
                self.put(
                    value,
                    &mut to[(at.top + y) as usize * self.pitch() + (at.left + x) as usize * step..],
                );
            }
        }
    }
}
