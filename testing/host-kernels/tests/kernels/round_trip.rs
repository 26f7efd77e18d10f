//! Converting R'G'B' to NV12 and back.

use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_host_kernels::{Picture, rgb_to_nv12, yuv_to_rgb};
use cutrickle_media::Element;

use crate::canvas::{Canvas, Place};
use crate::chance::{Chance, colour_spaces};

#[test]
fn flat_colours_come_back_within_two_steps() {
    // Every combination of eighteen levels, each in a block of 2x2 pixels.
    const LEVELS: usize = 18;
    let (width, height) = (2 * LEVELS * LEVELS, 2 * LEVELS);
    let level = |i: usize| (15 * i) as u8;
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            pixels.extend([level(x / 2 % LEVELS), level(x / 2 / LEVELS), level(y / 2)]);
        }
    }
    let source = Canvas::holding(&pixels, 3 * width, Place::ALIGNED, &mut Chance::new(41));
    let size = (width as u32, height as u32);
    for colour in colour_spaces() {
        let mut luma = Canvas::new(width, height, Place::ALIGNED, 0);
        let mut chroma = Canvas::new(width, height / 2, Place::ALIGNED, 0);
        let from = (source.rows(), 3, Element::U8);
        rgb_to_nv12(from, size, colour, luma.rows_mut(), chroma.rows_mut(), None).unwrap();
        let picture = Picture {
            format: SurfaceFormat::Nv12,
            colour,
            width: size.0,
            height: size.1,
            luma: luma.rows(),
            chroma: chroma.rows(),
        };
        let mut again = Canvas::new(3 * width, height, Place::ALIGNED, 0);
        yuv_to_rgb(&picture, again.rows_mut(), None).unwrap();
        for (got, want) in again.take().chunks(3).zip(pixels.chunks(3)) {
            let far = got.iter().zip(want).any(|(got, want)| got.abs_diff(*want) > 2);
            assert!(!far, "{colour:?}: {want:?} came back as {got:?}");
        }
    }
}
