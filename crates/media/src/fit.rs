//! How a picture is placed on an output of another shape. The kernels, the loops on the CPU and the mapping
//! back to the frame all use these definitions.

use crate::{Fit, ModelInput, Size};

/// Which part of a picture fills which pixels of an output, along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Where the used part begins, in pixels of the picture.
    pub begin: f64,
    /// The length of that part, in pixels of the picture.
    pub length: f64,
    /// The first pixel of the output that it fills.
    pub first: u32,
    /// The number of pixels that it fills.
    pub pixels: u32,
}

impl Span {
    /// Returns both axes for a picture of `from` pixels on an output of `to` pixels; no side may be 0.
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

    /// Maps the position `at` in the output to the position in the picture, each in its own pixels.
    pub fn in_picture(&self, at: f64) -> f64 {
        self.begin + (at - f64::from(self.first)) * self.length / f64::from(self.pixels)
    }
}

impl ModelInput {
    /// Maps the point (x, y) of the model's input to a point of a frame of size `frame`, both in pixels from
    /// the top left. Points on letterbox bars lie outside the frame and are moved to its edge.
    ///
    /// ```
    /// use cutrickle_media::{Fit, ModelInput, Size};
    ///
    /// let input = ModelInput { fit: Fit::Letterbox([0.0; 3]), ..ModelInput::new(640, 640) };
    /// // 1280x720 fills 640x360, from row 140 on.
    /// assert_eq!(input.to_frame([320.0, 320.0], Size::new(1280, 720)), [640.0, 360.0]);
    /// assert_eq!(input.to_frame([0.0, 140.0], Size::new(1280, 720)), [0.0, 0.0]);
    /// ```
    pub fn to_frame(&self, [x, y]: [f32; 2], frame: Size) -> [f32; 2] {
        if frame.width == 0 || frame.height == 0 {
            return [0.0; 2];
        }
        let Size { width, height } = self.size_of(frame.width, frame.height);
        let [across, down] = Span::both([frame.width, frame.height], [width.max(1), height.max(1)], self.fit);
        let point = |span: Span, at: f32, side: u32| {
            span.in_picture(f64::from(at)).clamp(0.0, f64::from(side)) as f32
        };
        [point(across, x, frame.width), point(down, y, frame.height)]
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

    #[test]
    fn points_of_a_models_input_lead_back_to_the_frame() {
        let frame = Size::new(1920, 1080);
        let input = |fit| ModelInput { fit, ..ModelInput::new(512, 512) };
        assert_eq!(input(Fit::Stretch).to_frame([256.0, 512.0], frame), [960.0, 1080.0]);
        assert_eq!(input(Fit::Crop).to_frame([0.0, 256.0], frame), [420.0, 540.0]);
        assert_eq!(input(Fit::Letterbox([0.0; 3])).to_frame([512.0, 256.0], frame), [1920.0, 540.0]);
        assert_eq!(input(Fit::Letterbox([0.0; 3])).to_frame([0.0, 5.0], frame), [0.0, 0.0]);
        assert_eq!(ModelInput::default().to_frame([7.0, 9.0], frame), [7.0, 9.0]);
        assert_eq!(input(Fit::Crop).to_frame([7.0, 9.0], Size::new(0, 0)), [0.0, 0.0]);
    }
}
