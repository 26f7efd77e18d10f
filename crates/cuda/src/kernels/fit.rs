//! What of a picture goes where on an output of another shape. The kernels and the host's loops go by it.

use cutrickle_media::Fit;

/// What of the picture goes where on one axis of the output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Where the part that is taken begins, in pixels of the picture.
    pub begin: f64,
    /// How long it is, in pixels of the picture.
    pub length: f64,
    /// The first pixel of the output that is filled.
    pub first: u32,
    /// How many of them are filled.
    pub pixels: u32,
}

impl Span {
    /// Both axes of a picture of `from` pixels on an output of `to`, none of which is 0.
    pub fn both(from: [u32; 2], to: [u32; 2], fit: Fit) -> [Self; 2] {
        let scales = [0, 1].map(|axis| f64::from(to[axis]) / f64::from(from[axis]));
        [0, 1].map(|axis| {
            let (side, pixels) = (f64::from(from[axis]), to[axis]);
            let whole = Self { begin: 0.0, length: side, first: 0, pixels };
            match fit {
                Fit::Stretch => whole,
                Fit::Letterbox(_) => {
                    let filled = (side * scales[0].min(scales[1])).round() as u32;
                    let filled = filled.clamp(1, pixels);
                    Self { first: (pixels - filled) / 2, pixels: filled, ..whole }
                }
                Fit::Crop => {
                    let length = (f64::from(pixels) / scales[0].max(scales[1])).min(side);
                    Self { begin: (side - length) / 2.0, length, ..whole }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_kept_as_the_fit_says() {
        let [x, y] = Span::both([1920, 1080], [512, 512], Fit::Letterbox([0.0; 3]));
        assert_eq!((x.first, x.pixels, y.first, y.pixels), (0, 512, 112, 288));
        let [x, y] = Span::both([1920, 1080], [512, 512], Fit::Crop);
        assert_eq!((x.begin, x.length, y.begin, y.length), (420.0, 1080.0, 0.0, 1080.0));
    }
}
