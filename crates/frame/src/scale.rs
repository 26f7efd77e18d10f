//! Scaling with centre-crop on the decoder's own planes: half the bytes of RGB, and no colour conversion.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Error, I420, Result};

/// Scales pictures to one size, and keeps its working memory between pictures.
#[derive(Debug)]
pub struct Scaler {
    width: u32,
    height: u32,
    resizer: Resizer,
}

impl Scaler {
    /// Creates a scaler to `width` x `height` pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, resizer: Resizer::new() }
    }

    /// Scales `picture` to fill the scaler's size: crops it around its centre to the target shape, then
    /// scales it with bilinear interpolation, whose support grows when shrinking (no aliasing).
    ///
    /// # Errors
    /// Fails for a size that no picture can have.
    pub fn fill(&mut self, picture: &I420) -> Result<I420> {
        let mut scaled = I420::new(self.width, self.height)?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .fit_into_destination(Some((0.5, 0.5)));
        for (from, to) in picture.planes().into_iter().zip(scaled.planes_mut()) {
            let source = ImageRef::new(from.width as u32, from.height as u32, from.data, PixelType::U8);
            let target = Image::from_slice_u8(to.width as u32, to.height as u32, to.data, PixelType::U8);
            let (source, mut target) = match (source, target) {
                (Ok(source), Ok(target)) => (source, target),
                (Err(e), _) | (_, Err(e)) => return Err(self.error(picture, e)),
            };
            if let Err(e) = self.resizer.resize(&source, &mut target, &options) {
                return Err(self.error(picture, e));
            }
        }
        Ok(scaled)
    }

    fn error(&self, from: &I420, e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let (width, height) = (self.width, self.height);
        Error::new(format!("scaling {}x{} to {width}x{height}", from.width(), from.height())).because(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left third 40, middle third 120, right third 200.
    fn stripes(width: u32, height: u32) -> I420 {
        let mut picture = I420::new(width, height).unwrap();
        let [y, ..] = picture.planes_mut();
        for (i, luma) in y.data.iter_mut().enumerate() {
            *luma = 40 + 80 * u8::try_from(i % y.width * 3 / y.width).unwrap();
        }
        picture
    }

    #[test]
    fn wide_pictures_lose_their_sides_not_their_shape() {
        let scaled = Scaler::new(100, 100).fill(&stripes(300, 100)).unwrap();
        let luma = scaled.planes()[0].data;
        assert!(luma.iter().all(|y| y.abs_diff(120) <= 1), "only the middle third is left");
    }

    #[test]
    fn the_same_shape_keeps_everything() {
        let scaled = Scaler::new(60, 20).fill(&stripes(300, 100)).unwrap();
        let row = &scaled.planes()[0].data[..60];
        assert_eq!((row[2], row[30], row[57]), (40, 120, 200));
    }

    #[test]
    fn odd_sizes_come_out_whole() {
        let scaled = Scaler::new(33, 17).fill(&stripes(301, 99)).unwrap();
        assert_eq!((scaled.width(), scaled.height()), (33, 17));
    }
}
