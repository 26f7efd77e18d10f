//! Resampling along one axis: bilinear when enlarging, and the mean of the covered samples when shrinking. It
//! deals with samples and weights and knows nothing of colour.

/// The weighted samples `first..=last`. The two ends have their own weights, and those between share one; the
/// weights add up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taps {
    pub first: u32,
    pub last: u32,
    pub head: f32,
    pub between: f32,
    pub tail: f32,
}

impl Taps {
    fn one(at: u32) -> Self {
        Self { first: at, last: at, head: 1.0, between: 0.0, tail: 0.0 }
    }
}

/// The taps of every pixel along one axis.
#[derive(Debug)]
pub(crate) struct Axis {
    taps: Vec<Taps>,
    shape: Shape,
}

/// Shapes that need no table of taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Each pixel is its sample.
    Same,
    /// Two pixels per sample, the first on it and the second midway to the next: chroma of a picture that
    /// keeps its size.
    Double,
    Any,
}

impl Axis {
    /// Creates an axis with `pixels` output pixels from a range of `length` samples out of `count`. The range
    /// begins at `begin`, where 0 is the near edge of the first sample. Beyond an edge, its sample is
    /// repeated.
    pub(crate) fn new(begin: f64, length: f64, pixels: usize, count: usize) -> Self {
        let scale = length / pixels as f64;
        let top = count.saturating_sub(1) as f64;
        let at = |index: f64| index.clamp(0.0, top) as u32;
        let taps = |i: usize| {
            let from = begin + i as f64 * scale;
            if scale <= 1.0 {
                let middle = from + scale / 2.0 - 0.5;
                let (first, last) = (at(middle.floor()), at(middle.floor() + 1.0));
                let tail = (middle - middle.floor()) as f32;
                if first == last || tail == 0.0 {
                    return Taps::one(first);
                }
                return Taps { first, last, head: 1.0 - tail, between: 0.0, tail };
            }
            let to = from + scale;
            let (first, last) = (at(from.floor()), at(to.ceil() - 1.0));
            if last <= first {
                return Taps::one(first);
            }
            Taps {
                first,
                last,
                head: ((f64::from(first) + 1.0 - from) / scale) as f32,
                between: (1.0 / scale) as f32,
                tail: ((to - f64::from(last)) / scale) as f32,
            }
        };
        let shape = if scale == 1.0 && begin == 0.0 && pixels == count {
            Shape::Same
        } else if scale == 0.5 && begin == 0.25 && pixels.div_ceil(2) == count {
            Shape::Double
        } else {
            Shape::Any
        };
        Self { taps: (0..pixels).map(taps).collect(), shape }
    }

    /// The taps of pixel `index`.
    pub(crate) fn taps(&self, index: usize) -> Taps {
        self.taps[index]
    }

    /// Resamples `row`, in which every `step`-th sample from `offset` on belongs to the axis.
    pub(crate) fn across(&self, row: &[f32], step: usize, offset: usize, out: &mut [f32]) {
        match self.shape {
            Shape::Same if step == 1 => out.copy_from_slice(&row[..out.len()]),
            Shape::Same => {
                for (out, pixel) in out.iter_mut().zip(row.chunks_exact(step)) {
                    *out = pixel[offset];
                }
            }
            Shape::Double if step == 1 => {
                for (pair, samples) in out.chunks_exact_mut(2).zip(row.windows(2)) {
                    pair[0] = samples[0];
                    pair[1] = 0.5 * (samples[0] + samples[1]);
                }
                // The last one or two pixels have no sample to their right.
                let whole = (row.len() - 1) * 2;
                if let (Some(rest), Some(last)) = (out.get_mut(whole..), row.last()) {
                    rest.fill(*last);
                }
            }
            Shape::Double | Shape::Any => {
                for (out, taps) in out.iter_mut().zip(&self.taps) {
                    let at = |index: u32| row[index as usize * step + offset];
                    let mut between = 0.0;
                    for index in taps.first + 1..taps.last {
                        between += at(index);
                    }
                    *out = taps.head * at(taps.first) + taps.between * between + taps.tail * at(taps.last);
                }
            }
        }
    }
}

/// Computes the weighted sum of rows of `samples`, each `stride` long.
pub(crate) fn down(samples: &[u8], stride: usize, taps: Taps, sum: &mut [f32]) {
    let row = |index: u32| &samples[index as usize * stride..][..sum.len()];
    let (first, last) = (row(taps.first), row(taps.last));
    if taps.first == taps.last {
        for (sum, &a) in sum.iter_mut().zip(first) {
            *sum = f32::from(a);
        }
        return;
    }
    for ((sum, &a), &b) in sum.iter_mut().zip(first).zip(last) {
        *sum = taps.head * f32::from(a) + taps.tail * f32::from(b);
    }
    for index in taps.first + 1..taps.last {
        let row = &samples[index as usize * stride..];
        for (sum, &a) in sum.iter_mut().zip(row) {
            *sum += taps.between * f32::from(a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_need_no_table_do_what_the_table_says() {
        let row: Vec<f32> = (0..9u8).map(|i| f32::from(i * i)).collect();
        for pixels in [17, 18] {
            let double = Axis::new(0.25, pixels as f64 / 2.0, pixels, 9);
            assert_eq!(double.shape, Shape::Double);
            let any = Axis { shape: Shape::Any, taps: double.taps.clone() };
            let (mut a, mut b) = (vec![0.0; pixels], vec![1.0; pixels]);
            double.across(&row, 1, 0, &mut a);
            any.across(&row, 1, 0, &mut b);
            assert_eq!(a, b);
        }
        let same = Axis::new(0.0, 3.0, 3, 3);
        assert_eq!(same.shape, Shape::Same);
        let mut out = [0.0; 3];
        same.across(&row, 3, 1, &mut out);
        assert_eq!(out, [1.0, 16.0, 49.0]);
    }

    #[test]
    fn weights_add_up_to_one_at_any_scale() {
        for (pixels, count, begin) in
            [(7, 100, 0.25), (100, 7, -0.25), (3, 4, 0.0), (1, 1000, 0.25), (5, 1, 0.0)]
        {
            let axis = Axis::new(begin, count as f64, pixels, count);
            for i in 0..pixels {
                let taps = axis.taps(i);
                let between = taps.last.saturating_sub(taps.first + 1) as f32;
                let sum = taps.head + taps.tail + taps.between * between;
                assert!((sum - 1.0).abs() < 1e-5, "{pixels} of {count}: {taps:?} add up to {sum}");
            }
        }
    }
}
