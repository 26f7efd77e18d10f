//! Converting R'G'B' of every element type to NV12.

use cutrickle_cuda::kernels::Grid;
use cutrickle_host_kernels::{rgb_to_nv12, take_accesses};
use cutrickle_media::{ColourSpace, Element};

use crate::canvas::{Canvas, Place};
use crate::chance::{Chance, colour_spaces};
use crate::reference::{self, assert_within_one};

const ELEMENTS: [Element; 4] = [Element::U8, Element::F16, Element::Bf16, Element::F32];

struct Pixels {
    bytes: Vec<u8>,
    element: Element,
    channels: usize,
    width: usize,
    height: usize,
}

impl Pixels {
    /// Most floats are between 0 and 1, but some are outside, and some are not numbers.
    fn new(chance: &mut Chance, element: Element, channels: usize, (width, height): (u32, u32)) -> Self {
        let (width, height) = (width as usize, height as usize);
        let mut bytes = Vec::new();
        for _ in 0..width * height * channels {
            let special = chance.between(0, 15) == 0;
            let bits = chance.bits();
            match element {
                Element::U8 => bytes.push(bits as u8),
                // The bit patterns of 0 to 1.
                Element::F16 => {
                    bytes.extend((if special { bits as u16 } else { (bits % 0x3C01) as u16 }).to_le_bytes());
                }
                Element::Bf16 => {
                    bytes.extend((if special { bits as u16 } else { (bits % 0x3F81) as u16 }).to_le_bytes());
                }
                Element::F32 => {
                    let unit = (bits >> 40) as f32 / (1 << 24) as f32;
                    bytes.extend((if special { f32::from_bits(bits as u32) } else { unit }).to_le_bytes());
                }
            }
        }
        Self { bytes, element, channels, width, height }
    }

    fn row(&self) -> usize {
        self.width * self.channels * self.element.size() as usize
    }

    /// The R'G'B' (0 to 1) of the nearest pixel within the frame.
    fn at(&self, x: usize, y: usize) -> [f64; 3] {
        let (x, y) = (x.min(self.width - 1), y.min(self.height - 1));
        let size = self.element.size() as usize;
        [0, 1, 2].map(|c| {
            let channel = if self.channels == 1 { 0 } else { c };
            let at = ((y * self.width + x) * self.channels + channel) * size;
            let value = match (self.element, &self.bytes[at..at + size]) {
                (Element::U8, &[byte]) => f64::from(byte) / 255.0,
                (Element::F16, &[a, b]) => reference::half(u16::from_le_bytes([a, b])),
                (Element::Bf16, &[a, b]) => reference::bfloat(u16::from_le_bytes([a, b])),
                (Element::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
                _ => unreachable!("elements have their size"),
            };
            if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
        })
    }

    fn convert(
        &self,
        colour: ColourSpace,
        from: Place,
        to: Place,
        fill: u8,
        grid: Option<Grid>,
    ) -> [Vec<u8>; 2] {
        let from = from.of_elements(self.element.size() as usize);
        let source = Canvas::holding(&self.bytes, self.row(), from, &mut Chance::new(u64::from(fill)));
        let mut luma = Canvas::new(self.width, self.height, to, fill);
        let pairs = to.of_elements(2);
        let mut chroma = Canvas::new(self.width.next_multiple_of(2), self.height.div_ceil(2), pairs, fill);
        rgb_to_nv12(
            (source.rows(), self.channels as u32, self.element),
            (self.width as u32, self.height as u32),
            colour,
            luma.rows_mut(),
            chroma.rows_mut(),
            grid,
        )
        .unwrap();
        [luma.take(), chroma.take()]
    }

    fn assert_right(&self, colour: ColourSpace, [luma, chroma]: &[Vec<u8>; 2]) {
        let (width, height) = (self.width, self.height);
        let what = format!("{:?} x{} {width}x{height} {colour:?}", self.element, self.channels);
        let want = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| reference::byte(reference::to_yuv(colour, self.at(x, y))[0]));
        assert_within_one(luma, want, &what);
        let blocks =
            (0..height.div_ceil(2)).flat_map(|y| (0..width.div_ceil(2)).map(move |x| (2 * x, 2 * y)));
        let want = blocks.flat_map(|(x, y)| {
            let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| self.at(x, y));
            let mean = [0, 1, 2].map(|c| four.iter().map(|rgb| rgb[c]).sum::<f64>() / 4.0);
            let [_, cb, cr] = reference::to_yuv(colour, mean);
            [reference::byte(cb), reference::byte(cr)]
        });
        assert_within_one(chroma, want, &what);
    }
}

#[test]
fn every_element_type_and_colour_space_is_within_one_step_of_the_standard_at_any_size() {
    let mut chance = Chance::new(11);
    for colour in colour_spaces() {
        for element in ELEMENTS {
            for channels in [1, 3, 4] {
                for _ in 0..8 {
                    let size = (chance.side(), chance.side());
                    let pixels = Pixels::new(&mut chance, element, channels, size);
                    let planes = pixels.convert(colour, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
                    pixels.assert_right(colour, &planes);
                    for place in Place::ALL {
                        let to = chance.one_of(&Place::ALL);
                        let again = pixels.convert(colour, place, to, 0x5A, Some(chance.grid()));
                        assert!(again == planes, "{element:?} x{channels} {size:?}, {place:?} to {to:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_whole_picture_of_4k_is_within_one_step() {
    let mut chance = Chance::new(12);
    for (element, channels, size) in [(Element::U8, 3, (3840, 2160)), (Element::F16, 3, (1079, 2161))] {
        let pixels = Pixels::new(&mut chance, element, channels, size);
        let colour = chance.one_of(&colour_spaces());
        let planes = pixels.convert(colour, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
        pixels.assert_right(colour, &planes);
        assert!(pixels.convert(colour, Place::BY_ONE, Place::PACKED, 0x5A, None) == planes);
    }
}

#[test]
fn memory_is_reached_by_sixteen_bytes_where_rows_are_aligned_and_only_there() {
    let mut chance = Chance::new(13);
    for element in ELEMENTS {
        for channels in [1, 3, 4] {
            let pixels = Pixels::new(&mut chance, element, channels, (64, 6));
            take_accesses();
            // How many pixels a thread processes, in each of two rows.
            let at_once = match channels as u64 * element.size() % 4 {
                0 => 4,
                2 => 8,
                _ => 16,
            };
            let threads = 64 / at_once * 3;
            let (reads, writes) = (2 * threads, 3 * threads);
            let all = reads + writes;
            // Four pixels have one word of luma and one of chroma. Rows of floats are aligned to at least
            // four bytes.
            let aligned = if at_once == 4 { [0, writes, reads] } else { [0, 0, all] };
            let by_one = if element == Element::F32 { [writes, reads, 0] } else { [all, 0, 0] };
            for (place, want) in
                [(Place::ALIGNED, aligned), (Place::BY_FOUR, [0, all, 0]), (Place::BY_ONE, by_one)]
            {
                pixels.convert(colour_spaces()[0], place, place, 0, None);
                assert_eq!(take_accesses(), want, "{element:?} x{channels} {place:?}");
            }
        }
    }
}

#[test]
fn black_grey_and_white_are_exact() {
    for colour in colour_spaces() {
        let levels = if colour.full_range { [0, 128, 255] } else { [16, 126, 235] };
        for (grey, luma) in [0u8, 128, 255].into_iter().zip(levels) {
            let pixels =
                Pixels { bytes: vec![grey; 51], element: Element::U8, channels: 1, width: 17, height: 3 };
            let planes = pixels.convert(colour, Place::ALIGNED, Place::ALIGNED, 1, None);
            assert!(planes[0].iter().all(|&y| y == luma), "{colour:?} {grey}: {:?}", &planes[0][..3]);
            assert!(planes[1].iter().all(|&c| c == 128), "{colour:?} {grey}: {:?}", &planes[1][..3]);
        }
    }
}
