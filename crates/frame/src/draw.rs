//! Rectangles and text, painted on the CPU and blended over a frame on the frame's device.

use candle_core::{Device, Tensor};
use cutrickle_media::Size;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1 as fonts};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point};
use embedded_graphics::text::{Baseline, Text};

use crate::{I420, Result, VideoFrame};

/// A colour with opacity: red, green, blue and alpha, each from 0 to 255.
pub type Rgba = [u8; 4];

/// A transparent canvas that [`VideoFrame::draw`] blends over a frame.
///
/// Only the painted part is copied to a frame's device. Anything outside the canvas is clipped.
///
/// ```
/// # use cutrickle_frame::{Canvas, I420, VideoFrame};
/// # use cutrickle_media::{Colour, Timestamp};
/// # let frame = VideoFrame::from_i420(I420::new(640, 480)?, Colour::BT601, Timestamp::ZERO);
/// let mut canvas = Canvas::over(&frame);
/// canvas.rectangle([100, 80], [200, 150], 3, [255, 200, 0, 255]);
/// canvas.text("person 0.92", [100, 56], 20, [255, 255, 255, 255]);
/// let frame = frame.draw(&canvas)?;
/// # Ok::<(), cutrickle_frame::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<Rgba>,
    /// The painted part: first column and row, then the column and row after the last.
    painted: Option<[u32; 4]>,
}

/// Smallest first. Text is drawn at whole multiples of these sizes.
const FONTS: [&MonoFont<'static>; 5] =
    [&fonts::FONT_4X6, &fonts::FONT_5X8, &fonts::FONT_6X10, &fonts::FONT_9X15, &fonts::FONT_10X20];

impl Canvas {
    /// Creates a transparent canvas.
    ///
    /// # Errors
    /// Fails if a side is 0 or above 16384.
    pub fn new(width: u32, height: u32) -> Result<Self> {
        I420::check_size(width as usize, height as usize)?;
        let pixels = vec![[0; 4]; width as usize * height as usize];
        Ok(Self { width, height, pixels, painted: None })
    }

    /// Creates a transparent canvas of the size of `frame`.
    pub fn over(frame: &VideoFrame) -> Self {
        let (width, height) = (frame.width(), frame.height());
        let pixels = vec![[0; 4]; width as usize * height as usize];
        Self { width, height, pixels, painted: None }
    }

    /// Fills the whole canvas.
    pub fn fill(&mut self, colour: Rgba) {
        self.block([0, 0], [self.width, self.height], colour);
    }

    /// Paints a filled rectangle whose first pixel is at column and row `at`, `size` pixels wide and high.
    pub fn block(&mut self, at: [i32; 2], size: [u32; 2], colour: Rgba) {
        let within = |at: i32, size: u32, side: u32| {
            let (begin, end) = (i64::from(at), i64::from(at) + i64::from(size));
            let (begin, end) = (begin.clamp(0, i64::from(side)), end.clamp(0, i64::from(side)));
            (begin as u32, end as u32)
        };
        let (left, right) = within(at[0], size[0], self.width);
        let (top, bottom) = within(at[1], size[1], self.height);
        if left == right || top == bottom {
            return;
        }
        let rows = self.pixels.chunks_exact_mut(self.width as usize);
        for row in rows.take(bottom as usize).skip(top as usize) {
            for pixel in row.iter_mut().take(right as usize).skip(left as usize) {
                *pixel = colour;
            }
        }
        let [l, t, r, b] = self.painted.unwrap_or([left, top, right, bottom]);
        self.painted = Some([l.min(left), t.min(top), r.max(right), b.max(bottom)]);
    }

    /// Paints the outline of a rectangle, `line` pixels thick, on its inside.
    pub fn rectangle(&mut self, at: [i32; 2], size: [u32; 2], line: u32, colour: Rgba) {
        let [x, y] = at;
        let [width, height] = size;
        let line = line.min(width).min(height);
        let end = |at: i32, size: u32| at.saturating_add_unsigned(size - line);
        self.block([x, y], [width, line], colour);
        self.block([x, end(y, height)], [width, line], colour);
        self.block([x, y], [line, height], colour);
        self.block([end(x, width), y], [line, height], colour);
    }

    /// Writes a line of text with its top left corner at column and row `at`. It is at most `height` pixels
    /// high; the smallest font needs 6. The fonts cover Western European languages (ISO 8859-1); other
    /// characters become question marks.
    pub fn text(&mut self, text: &str, at: [i32; 2], height: u32, colour: Rgba) {
        self.lettered(text, at, Size::new(u32::MAX, height), false, colour);
    }

    /// Writes a line of text in the middle, as large as fits into `limit`. Writes nothing if the smallest
    /// font does not fit.
    pub fn centred_text(&mut self, text: &str, limit: Size, colour: Rgba) {
        let middle = [self.width as i32 / 2, self.height as i32 / 2];
        self.lettered(text, middle, limit, true, colour);
    }

    fn lettered(&mut self, text: &str, at: [i32; 2], limit: Size, centred: bool, colour: Rgba) {
        let text = text.replace('…', "...");
        let letters = text.chars().count() as u32;
        // The largest font and multiple that fit.
        let fitting = FONTS.iter().filter_map(|font| {
            let size = font.character_size;
            let width = size.width.saturating_mul(letters).max(1);
            let scale = (limit.height / size.height).min(limit.width / width);
            (scale > 0).then_some((scale * size.height, scale, *font))
        });
        let Some((height, scale, font)) =
            fitting.max_by_key(|(height, scale, _)| (*height, u32::MAX - scale))
        else {
            return;
        };
        let width = scale.saturating_mul(font.character_size.width).saturating_mul(letters);
        let corner = |at: i32, size: u32| if centred { at.saturating_sub_unsigned(size / 2) } else { at };
        let at = [corner(at[0], width), corner(at[1], height)];
        let style = MonoTextStyle::new(font, BinaryColor::On);
        let mut pen = Pen { canvas: self, at, scale, colour };
        let Ok(_) = Text::with_baseline(&text, Point::zero(), style, Baseline::Top).draw(&mut pen);
    }

    /// Returns the pixels as (H, W, 4), u8, RGBA, on `device`.
    ///
    /// # Errors
    /// Fails if the device does.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        self.part([0, 0, self.width, self.height], device)
    }

    fn part(&self, [left, top, right, bottom]: [u32; 4], device: &Device) -> Result<Tensor> {
        let rows = self.pixels.chunks_exact(self.width as usize);
        let rows = rows.take(bottom as usize).skip(top as usize);
        let columns = rows.flat_map(|row| row.iter().take(right as usize).skip(left as usize));
        let bytes: Vec<u8> = columns.flatten().copied().collect();
        let shape = ((bottom - top) as usize, (right - left) as usize, 4);
        Ok(Tensor::from_vec(bytes, shape, device)?)
    }
}

impl VideoFrame {
    /// Blends `canvas` over the frame, from the top left corner on. Returns the frame unchanged if nothing
    /// was painted.
    ///
    /// # Errors
    /// Fails if the conversion or the device does.
    pub fn draw(self, canvas: &Canvas) -> Result<Self> {
        let Some(painted) = canvas.painted else { return Ok(self) };
        let picture = canvas.part(painted, self.device())?;
        let [left, top, ..] = painted;
        self.overlay(&picture, [left as i32, top as i32])
    }
}

/// Paints dots as squares of `scale` pixels.
struct Pen<'a> {
    canvas: &'a mut Canvas,
    at: [i32; 2],
    scale: u32,
    colour: Rgba,
}

impl OriginDimensions for Pen<'_> {
    fn size(&self) -> embedded_graphics::prelude::Size {
        embedded_graphics::prelude::Size::new(self.canvas.width, self.canvas.height)
    }
}

impl DrawTarget for Pen<'_> {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, dots: I) -> Result<(), Self::Error> {
        for Pixel(dot, colour) in dots {
            if colour.is_on() {
                let at = |origin: i32, dot: i32| origin.saturating_add(dot.saturating_mul(self.scale as i32));
                let at = [at(self.at[0], dot.x), at(self.at[1], dot.y)];
                self.canvas.block(at, [self.scale; 2], self.colour);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_media::{Colour, Timestamp};

    use super::*;

    const RED: Rgba = [255, 0, 0, 255];

    /// The canvas as text: `#` for painted pixels.
    fn seen(canvas: &Canvas) -> Vec<String> {
        let row = |row: &[Rgba]| row.iter().map(|p| if p[3] == 0 { '.' } else { '#' }).collect();
        canvas.pixels.chunks(canvas.width as usize).map(row).collect()
    }

    #[test]
    fn a_rectangle_is_a_line_inside_of_its_size() {
        let mut canvas = Canvas::new(7, 6).unwrap();
        canvas.rectangle([1, 1], [5, 4], 1, RED);
        assert_eq!(seen(&canvas), [".......", ".#####.", ".#...#.", ".#...#.", ".#####.", "......."]);
        assert_eq!(canvas.painted, Some([1, 1, 6, 5]));
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let mut canvas = Canvas::new(4, 3).unwrap();
        canvas.rectangle([i32::MIN, 9], [0, u32::MAX], 3, RED);
        canvas.block([i32::MAX, i32::MAX], [u32::MAX; 2], RED);
        canvas.text("x", [i32::MAX, i32::MIN], u32::MAX, RED);
        canvas.text("", [0, 0], 9, RED);
        canvas.text("too small", [0, 0], 5, RED);
        assert_eq!(canvas.painted, None);
        canvas.rectangle([-2, -2], [4, 4], 1, RED);
        assert_eq!(seen(&canvas), [".#..", "##..", "...."]);
    }

    #[test]
    fn text_is_as_large_as_fits() {
        let rows = |limit: Size| {
            let mut canvas = Canvas::new(200, 60).unwrap();
            canvas.centred_text("H", limit, RED);
            seen(&canvas).iter().filter(|row| row.contains('#')).count()
        };
        assert_eq!(rows(Size::new(200, 5)), 0);
        let (small, large) = (rows(Size::new(200, 20)), rows(Size::new(200, 40)));
        assert!(small > 9 && large == 2 * small, "{small} {large}");
        assert!(rows(Size::new(12, 40)) < large, "the width counts too");
    }

    #[test]
    fn drawing_changes_what_was_painted_and_nothing_else() {
        let frame = VideoFrame::from_i420(I420::new(32, 16).unwrap(), Colour::BT601, Timestamp::ZERO);
        let before = frame.tensor().unwrap().to_vec3::<u8>().unwrap();
        let mut canvas = Canvas::over(&frame);
        let same = frame.clone().draw(&canvas).unwrap();
        assert!(!same.is_replaced(), "nothing was painted");
        canvas.block([4, 2], [3, 5], RED);
        let after = frame.draw(&canvas).unwrap().tensor().unwrap().to_vec3::<u8>().unwrap();
        for (y, (before, after)) in before.iter().zip(&after).enumerate() {
            for (x, (before, after)) in before.iter().zip(after).enumerate() {
                let painted = (4..7).contains(&x) && (2..7).contains(&y);
                assert_eq!(&after[..], if painted { &RED[..3] } else { &before[..] }, "{x} {y}");
            }
        }
    }
}
