//! Random decoded frames, with every code value, legal or not, and random values in unused bits.

use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_host_kernels::Picture;
use cutrickle_media::ColourSpace;

use crate::canvas::{Canvas, Place};
use crate::chance::Chance;

/// The samples of a frame, in rows without gaps.
#[derive(Clone)]
pub struct Scene {
    pub format: SurfaceFormat,
    pub colour: ColourSpace,
    pub width: u32,
    pub height: u32,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

/// A frame in memory of its own.
pub struct Placed<'a> {
    scene: &'a Scene,
    luma: Canvas,
    chroma: Canvas,
}

impl Scene {
    pub fn new(
        chance: &mut Chance,
        (width, height): (u32, u32),
        format: SurfaceFormat,
        colour: ColourSpace,
    ) -> Self {
        let size = format.sample_size() as usize;
        let mut luma = vec![0; (width * height) as usize * size];
        let mut chroma = vec![0; (width.div_ceil(2) * 2 * height.div_ceil(2)) as usize * size];
        chance.fill(&mut luma);
        chance.fill(&mut chroma);
        Self { format, colour, width, height, luma, chroma }
    }

    /// Makes a frame of a single colour.
    pub fn flat(size: (u32, u32), format: SurfaceFormat, colour: ColourSpace, yuv: [u16; 3]) -> Self {
        let mut scene = Self::new(&mut Chance::new(1), size, format, colour);
        let shift = format.sample_size() as usize;
        let bytes =
            |value: u16| if shift == 1 { vec![value as u8] } else { (value << 6).to_le_bytes().to_vec() };
        let [y, cb, cr] = yuv.map(bytes);
        let pair = [cb, cr].concat();
        scene.luma.chunks_mut(y.len()).for_each(|sample| sample.copy_from_slice(&y));
        scene.chroma.chunks_mut(pair.len()).for_each(|sample| sample.copy_from_slice(&pair));
        scene
    }

    fn sample(&self, plane: &[u8], index: usize) -> f64 {
        match self.format {
            SurfaceFormat::Nv12 => f64::from(plane[index]),
            SurfaceFormat::P010 => {
                f64::from(u16::from_le_bytes([plane[2 * index], plane[2 * index + 1]]) >> 6)
            }
        }
    }

    /// The code value of luma at a pixel.
    pub fn y(&self, x: usize, y: usize) -> f64 {
        self.sample(&self.luma, y * self.width as usize + x)
    }

    /// The code values of chroma, at coordinates of the chroma plane.
    pub fn cb_cr(&self, x: usize, y: usize) -> [f64; 2] {
        let at = 2 * (y * self.width.div_ceil(2) as usize + x);
        [self.sample(&self.chroma, at), self.sample(&self.chroma, at + 1)]
    }

    pub fn place(&self, place: Place, chance: &mut Chance) -> Placed<'_> {
        let size = self.format.sample_size() as usize;
        let place = place.of_elements(size);
        let (luma_row, chroma_row) = (self.width as usize * size, self.width.div_ceil(2) as usize * 2 * size);
        Placed {
            scene: self,
            luma: Canvas::holding(&self.luma, luma_row, place, chance),
            chroma: Canvas::holding(&self.chroma, chroma_row, place.of_elements(2 * size), chance),
        }
    }
}

impl Placed<'_> {
    pub fn picture(&self) -> Picture<'_> {
        let &Scene { format, colour, width, height, .. } = self.scene;
        Picture { format, colour, width, height, luma: self.luma.rows(), chroma: self.chroma.rows() }
    }
}
