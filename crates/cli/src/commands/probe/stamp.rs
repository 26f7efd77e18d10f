//! A number that is drawn into a picture in such a way that it survives encoding, scaling, mirroring and
//! changes of colour.
//!
//! It consists of forty black or white cells in two rows at the top of the picture: a pattern of 8 cells that
//! also shows which luma means what, 24 bits of the number, and 8 bits of CRC. The value of a bit depends on
//! what its cell is closer to, the dark cells of the pattern or the bright ones. Inverting the picture swaps
//! both and a tint shifts both; neither changes the number.
//!
//! The cells are within the largest square around the centre of the picture, because a worker that changes
//! the shape of the picture cuts off its sides.

use cutrickle_frame::{I420, Plane};
use cutrickle_media::Size;

const COLUMNS: usize = 20;
const ROWS: usize = 2;
/// Backwards or inverted it is a different pattern.
const PATTERN: [bool; 8] = [true, false, true, true, false, false, true, false];
const NUMBER_BITS: usize = 24;
/// The smallest number that is too large.
pub const NUMBERS: u32 = 1 << NUMBER_BITS;
/// The luma of the cells: far apart, but with room for the ringing of a coarse quantiser.
const DARK: u8 = 32;
const BRIGHT: u8 = 220;
/// If dark and bright differ by less than this, there is no stamp.
const MIN_CONTRAST: f32 = 16.0;
/// The smallest cells, in pixels, that survive encoding and decoding.
const MIN_CELL: usize = 8;

/// Where the cells of a stamp are in pictures of a certain size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    left: f32,
    top: f32,
    cell_width: f32,
    cell_height: f32,
}

impl Layout {
    /// The cells in a picture of the source, or `None` if it is too small.
    pub fn of_source(size: Size) -> Option<Self> {
        let (width, height) = (size.width as usize, size.height as usize);
        let room = width.min(height) / (COLUMNS + 2);
        // With whole macroblocks, the edge of a cell does not ring into the next one.
        let cell = if room >= 16 { room / 16 * 16 } else { room / 2 * 2 };
        if cell < MIN_CELL {
            return None;
        }
        let left = (width - cell * COLUMNS) / 2 / cell.min(16) * cell.min(16);
        Some(Self { left: left as f32, top: cell as f32, cell_width: cell as f32, cell_height: cell as f32 })
    }

    /// The same cells after the picture was scaled from one size to fill another, and what was outside of
    /// that was cut off around the centre.
    fn scaled(self, from: Size, to: Size) -> Self {
        let (x, y) = ratios(from, to);
        let scale = x.max(y);
        let cut = |from: u32, to: u32| (from as f32 * scale - to as f32) / 2.0;
        Self {
            left: self.left * scale - cut(from.width, to.width),
            top: self.top * scale - cut(from.height, to.height),
            cell_width: self.cell_width * scale,
            cell_height: self.cell_height * scale,
        }
    }

    /// The same cells after the picture was stretched from one size to another.
    fn stretched(self, from: Size, to: Size) -> Self {
        let (x, y) = ratios(from, to);
        Self {
            left: self.left * x,
            top: self.top * y,
            cell_width: self.cell_width * x,
            cell_height: self.cell_height * y,
        }
    }

    /// The edges of cell `index`, each moved inwards by `inset` of the size of a cell: top, bottom, left,
    /// right.
    fn cell(&self, index: usize, inset: f32) -> [f32; 4] {
        let (row, column) = ((index / COLUMNS) as f32, (index % COLUMNS) as f32);
        let left = self.left + column * self.cell_width;
        let top = self.top + row * self.cell_height;
        [
            top + inset * self.cell_height,
            top + (1.0 - inset) * self.cell_height,
            left + inset * self.cell_width,
            left + (1.0 - inset) * self.cell_width,
        ]
    }
}

/// How many times wider and higher `to` is than `from`.
fn ratios(from: Size, to: Size) -> (f32, f32) {
    (to.width as f32 / from.width as f32, to.height as f32 / from.height as f32)
}

/// Draws `number` into `picture`. The chroma of the cells is neutral, so that they are grey in RGB.
pub fn write(picture: &mut I420, layout: &Layout, number: u32) {
    let bits = bits(number);
    let [luma, blue, red] = picture.planes_mut();
    for (index, bit) in bits.into_iter().enumerate() {
        let [top, bottom, left, right] = layout.cell(index, 0.0).map(|edge| edge as usize);
        let value = if bit { BRIGHT } else { DARK };
        for row in luma.data.chunks_exact_mut(luma.width).take(bottom).skip(top) {
            row.iter_mut().take(right).skip(left).for_each(|sample| *sample = value);
        }
        for plane in [&mut *blue.data, &mut *red.data] {
            for row in plane.chunks_exact_mut(blue.width).take(bottom / 2).skip(top / 2) {
                row.iter_mut().take(right / 2).skip(left / 2).for_each(|sample| *sample = 128);
            }
        }
    }
}

/// Reads the number in `picture`. It was drawn according to `layout` into a picture of the size `source`.
pub fn read(picture: &I420, layout: &Layout, source: Size) -> Option<u32> {
    let size = Size::new(picture.width(), picture.height());
    let [luma, ..] = picture.planes();
    let layouts = [layout.scaled(source, size), layout.stretched(source, size)];
    layouts.iter().find_map(|layout| {
        let mut cells = [0.0; COLUMNS * ROWS];
        for (index, cell) in cells.iter_mut().enumerate() {
            *cell = mean(&luma, layout.cell(index, 0.3))?;
        }
        number(&cells).or_else(|| {
            cells.chunks_exact_mut(COLUMNS).for_each(<[f32]>::reverse);
            number(&cells)
        })
    })
}

fn number(cells: &[f32; COLUMNS * ROWS]) -> Option<u32> {
    let mean_of = |bright: bool| {
        let of = PATTERN.iter().zip(cells).filter(|(bit, _)| **bit == bright).map(|(_, cell)| *cell);
        of.clone().sum::<f32>() / of.count().max(1) as f32
    };
    let (dark, bright) = (mean_of(false), mean_of(true));
    if (dark - bright).abs() < MIN_CONTRAST {
        return None;
    }
    let mut bits = cells.iter().map(|cell| (cell - bright).abs() < (cell - dark).abs());
    let pattern_holds = PATTERN.iter().all(|expected| bits.next() == Some(*expected));
    let mut word =
        |bits_of_word| bits.by_ref().take(bits_of_word).fold(0u32, |n, bit| n << 1 | u32::from(bit));
    let (number, sum) = (word(NUMBER_BITS), word(8));
    (pattern_holds && sum == u32::from(crc8(number))).then_some(number)
}

fn bits(number: u32) -> impl IntoIterator<Item = bool> {
    let word = (number % NUMBERS) << 8 | u32::from(crc8(number % NUMBERS));
    PATTERN.into_iter().chain((0..32).rev().map(move |bit| word >> bit & 1 == 1))
}

/// CRC-8 with the polynomial x^8 + x^2 + x + 1 (ITU-T I.432.1, 4.3.2). It starts with all ones, so that a
/// black strip is not a number.
fn crc8(number: u32) -> u8 {
    number.to_be_bytes().into_iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

fn mean(plane: &Plane<'_>, [top, bottom, left, right]: [f32; 4]) -> Option<f32> {
    if top < 0.0 || left < 0.0 {
        return None;
    }
    let edges =
        |from: f32, to: f32| (from.round() as usize, (to.round() as usize).max(from.round() as usize + 1));
    let ((top, bottom), (left, right)) = (edges(top, bottom), edges(left, right));
    if bottom > plane.height || right > plane.width {
        return None;
    }
    let mut sum = 0u32;
    for row in top..bottom {
        let start = row * plane.stride;
        sum += plane.data.get(start + left..start + right)?.iter().map(|luma| u32::from(*luma)).sum::<u32>();
    }
    Some(sum as f32 / ((bottom - top) * (right - left)) as f32)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cutrickle_codec::{Backends, Coding, EncoderConfig};
    use cutrickle_frame::{Origin, Scaler, VideoFrame};
    use cutrickle_media::{Colour, Timestamp, VideoCodec};

    use super::*;

    const NUMBERS_TO_TRY: [u32; 4] = [0, 1, 0x5A_A5C3, NUMBERS - 1];

    /// Diagonal stripes, which move with the number.
    fn busy(width: u32, height: u32, number: u32) -> I420 {
        let mut picture = I420::new(width, height).unwrap();
        let [luma, ..] = picture.planes_mut();
        for (i, sample) in luma.data.iter_mut().enumerate() {
            let place = (i % luma.width + i / luma.width + number as usize * 3) % 64;
            *sample = 40 + 3 * u8::try_from(place).unwrap();
        }
        picture
    }

    fn stamped(width: u32, height: u32, number: u32) -> (I420, Layout) {
        let layout = Layout::of_source(Size::new(width, height)).unwrap();
        let mut picture = busy(width, height, number);
        write(&mut picture, &layout, number);
        (picture, layout)
    }

    fn changed(picture: &I420, change: impl Fn(u8) -> u8) -> I420 {
        let mut changed = picture.clone();
        let [luma, ..] = changed.planes_mut();
        luma.data.iter_mut().for_each(|sample| *sample = change(*sample));
        changed
    }

    #[test]
    fn a_number_survives_a_low_bitrate_at_any_usual_size() {
        for (width, height) in [(256, 192), (320, 240), (512, 512), (1280, 720), (720, 1280), (1920, 1080)] {
            let size = Size::new(width, height);
            let config = EncoderConfig {
                size,
                fps: 30.0,
                bitrate: width * height / 2,
                coding: Coding::default(),
                colour: Colour::BT709,
            };
            let backends = Backends::builtin();
            let mut encoder = backends.open_video_encoder(config, &Device::Cpu).unwrap();
            let mut decoder = backends.open_video_decoder(VideoCodec::H264, &Device::Cpu).unwrap();
            let mut read_back = Vec::new();
            for (n, number) in NUMBERS_TO_TRY.into_iter().enumerate() {
                let (picture, layout) = stamped(width, height, number);
                let frame =
                    VideoFrame::from_i420(picture, Colour::BT709, Timestamp::from_ticks(3_000 * n as i64));
                let unit = encoder.encode(&frame, n == 0).unwrap();
                let mut out = |frame: VideoFrame| {
                    read_back.push(read(&frame.i420().unwrap(), &layout, size));
                };
                decoder.decode(&unit, Origin::now(), &mut out).unwrap();
            }
            assert_eq!(read_back, NUMBERS_TO_TRY.map(Some), "{width}x{height}");
        }
    }

    #[test]
    fn a_number_survives_changes_of_colour() {
        for number in NUMBERS_TO_TRY {
            let (picture, layout) = stamped(640, 360, number);
            let inverted = changed(&picture, |luma| 255 - luma);
            let tinted = changed(&picture, |luma| luma / 4 + 150);
            for picture in [picture, inverted, tinted] {
                assert_eq!(read(&picture, &layout, Size::new(640, 360)), Some(number));
            }
        }
    }

    #[test]
    fn a_number_survives_mirroring_and_scaling_with_a_cut() {
        for number in NUMBERS_TO_TRY {
            let (picture, layout) = stamped(1280, 720, number);
            let mut mirrored = picture.clone();
            let [luma, ..] = mirrored.planes_mut();
            luma.data.chunks_exact_mut(luma.width).for_each(<[u8]>::reverse);
            assert_eq!(read(&mirrored, &layout, Size::new(1280, 720)), Some(number));
            for (width, height) in [(640, 360), (1920, 1080), (512, 512), (480, 480)] {
                let scaled = Scaler::new(width, height).fill(&picture).unwrap();
                assert_eq!(read(&scaled, &layout, Size::new(1280, 720)), Some(number), "{width}x{height}");
            }
        }
    }

    #[test]
    fn a_picture_without_a_stamp_has_no_number() {
        let layout = Layout::of_source(Size::new(640, 360)).unwrap();
        for picture in [busy(640, 360, 5), I420::new(640, 360).unwrap(), I420::new(16, 16).unwrap()] {
            assert_eq!(read(&picture, &layout, Size::new(640, 360)), None);
        }
    }

    #[test]
    fn pictures_too_small_for_cells_are_refused() {
        assert_eq!(Layout::of_source(Size::new(64, 64)), None);
        assert_eq!(Layout::of_source(Size::new(1920, 64)), None);
    }
}
