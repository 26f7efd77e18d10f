//! A picture that says so while a processor loads.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::{Part, font};
use crate::{Finished, FrameProcessor, Generated, Params, Result, Started, StreamContext};

/// A picture that says so while a processor loads: [`with_overlay`].
///
/// A stream's processor loads until it returns its first picture: those that it withholds before go out with a banner
/// across them. While the stream's parameter `show_loading` is set, the banner stands in the place of every answer; the
/// processor goes on being given pictures. All else is the processor's own: a picture goes out when it would have,
/// whichever it is, in its place. One that is withheld while older ones are at work has no place. Sound, parameters and
/// hooks pass.
///
/// A processor whose first call takes long withholds nothing meanwhile. Under
/// `with_overlay(with_timeout(processor, limit).withholding())` its stream shows the banner from the first picture on. A
/// stream without input has nothing to draw the banner on but what is generated.
#[derive(Debug, Clone)]
pub struct Overlay<P> {
    processor: P,
    banner: Banner,
    loaded: bool,
    context: Option<StreamContext>,
    /// Pictures that the processor has at work, oldest first: their timestamps, and as they came.
    at_work: VecDeque<(i64, Option<VideoFrame>)>,
}

/// Shows a banner, "Loading…" unless [`Overlay::text`] says otherwise, while `processor` loads and while `show_loading` is
/// set.
pub fn with_overlay<P: FrameProcessor>(processor: P) -> Overlay<P> {
    let banner = Banner { text: "Loading…".into(), whole: false, drawn: None };
    Overlay { processor, banner, loaded: false, context: None, at_work: VecDeque::new() }
}

impl<P> Overlay<P> {
    /// What the banner says. Latin letters, digits and the usual marks can be drawn.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.banner.text = text.into();
        self
    }

    /// Fills the whole picture, so that nothing of the input is to be seen.
    #[must_use]
    pub fn hiding_input(mut self) -> Self {
        self.banner.whole = true;
        self
    }

    fn is_asked_for(&self) -> bool {
        self.context.as_ref().is_some_and(StreamContext::show_loading)
    }

    /// What goes out for the picture `input`, which was answered by `answer`.
    fn shown(&mut self, input: Option<VideoFrame>, answer: Option<VideoFrame>) -> Result<Option<VideoFrame>> {
        self.loaded |= answer.is_some();
        let shown = match (answer, input) {
            (Some(answer), input) if self.is_asked_for() => input.unwrap_or(answer),
            (None, Some(input)) if !self.loaded || self.is_asked_for() => input,
            (answer, _) => return Ok(answer),
        };
        self.banner.draw(shown).map(Some)
    }

    /// A picture as it came, if it may be needed: what is not kept costs nothing.
    fn kept(&self, frame: &VideoFrame) -> Option<VideoFrame> {
        (!self.loaded || self.is_asked_for()).then(|| frame.clone())
    }
}

impl<P: FrameProcessor> FrameProcessor for Overlay<P> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.processor.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let kept = self.kept(&frame);
        let answer = self.processor.process_video(frame).await?;
        self.shown(kept, answer)
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.processor.process_audio(frame).await
    }

    fn takes_audio(&mut self) -> bool {
        self.processor.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        let made = self.processor.generate(timestamp).await?;
        Ok(Generated { video: self.shown(None, made.video)?, ..made })
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.processor.update_params(params).await
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.context = Some(stream.clone());
        self.processor.on_stream_start(stream).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.processor.on_stream_stop().await
    }

    fn parts(&self) -> Vec<Part> {
        self.processor.parts()
    }

    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (timestamp, kept) = (frame.timestamp(), self.kept(&frame));
        match self.processor.start_video(frame).await? {
            // Older ones are still to come out: nothing can stand in the place of this one.
            Started::Done(None) if !self.at_work.is_empty() => Ok(Started::Done(None)),
            Started::Done(answer) => self.shown(kept, answer).map(Started::Done),
            Started::AtWork => {
                self.at_work.push_back((timestamp, kept));
                Ok(Started::AtWork)
            }
        }
    }

    async fn video_ready(&mut self) {
        self.processor.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        let Finished { timestamp, result } = self.processor.finish_video().await?;
        let place = self.at_work.iter().position(|(of, _)| *of == timestamp);
        let kept = place.and_then(|place| self.at_work.remove(place)).and_then(|(_, kept)| kept);
        let result = match result {
            Ok(None) if place.is_some_and(|place| place > 0) => Ok(None),
            Ok(answer) => self.shown(kept, answer),
            Err(e) => Err(e),
        };
        Some(Finished { timestamp, result })
    }
}

/// Dark, with text in its middle; as wide as the picture, over a sixth of its height or all of it.
#[derive(Debug, Clone)]
struct Banner {
    text: String,
    whole: bool,
    /// The newest one, for pictures of the same size.
    drawn: Option<Drawn>,
}

#[derive(Debug, Clone)]
struct Drawn {
    /// Height and width of the picture.
    of: (usize, usize),
    /// (H', W, 4), u8, on the picture's device; (H', W, 3) of a banner that hides all.
    pixels: Tensor,
}

/// Luma and alpha of the ground and of the text.
const GROUND: [u8; 2] = [24, 208];
const INK: [u8; 2] = [235, 255];

impl Banner {
    /// `frame` with the banner across it. The pixels beneath a banner that hides all are not looked at.
    fn draw(&mut self, frame: VideoFrame) -> Result<VideoFrame> {
        let height = frame.height() as usize;
        let pixels = self.pixels((height, frame.width() as usize), frame.device())?;
        if self.whole {
            return Ok(frame.replace_tensor(pixels)?);
        }
        let top = (height - pixels.dim(0)?) / 2;
        Ok(frame.overlay(&pixels, [0, top as i32])?)
    }

    fn pixels(&mut self, of: (usize, usize), device: &Device) -> Result<Tensor> {
        if let Some(drawn) = &self.drawn
            && drawn.of == of
            && drawn.pixels.device().same_device(device)
        {
            return Ok(drawn.pixels.clone());
        }
        let pixels = self.paint(of)?.to_device(device)?;
        self.drawn = Some(Drawn { of, pixels: pixels.clone() });
        Ok(pixels)
    }

    fn paint(&self, (height, width): (usize, usize)) -> Result<Tensor> {
        let rows = if self.whole { height } else { (height / 6).max(font::HEIGHT + 2).min(height) };
        let mut grey = GROUND.repeat(rows * width);
        let columns = font::width(&self.text).max(1);
        // A dot's side in pixels: as large as fits into four fifths of the width and half of a banner's height.
        let side = (width * 4 / 5 / columns).min((height / 6).max(2) / 2 / font::HEIGHT).max(1);
        let left = width.saturating_sub(columns * side) / 2;
        let top = rows.saturating_sub(font::HEIGHT * side) / 2;
        for (x, y) in font::dots(&self.text) {
            let (x, y) = (left + x * side, top + y * side);
            for row in grey.chunks_exact_mut(2 * width).skip(y).take(side) {
                row.chunks_exact_mut(2).skip(x).take(side).for_each(|pixel| pixel.copy_from_slice(&INK));
            }
        }
        let grey = Tensor::from_vec(grey, (rows, width, 2), &Device::Cpu)?;
        let (luma, alpha) = (grey.narrow(2, 0, 1)?, grey.narrow(2, 1, 1)?);
        let rgb = luma.repeat((1, 1, 3))?;
        Ok(if self.whole { rgb } else { Tensor::cat(&[rgb, alpha], 2)? })
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::{Colour, I420};

    use super::*;

    fn banner(whole: bool) -> Banner {
        Banner { text: "Loading…".into(), whole, drawn: None }
    }

    fn frame(width: u32, height: u32) -> VideoFrame {
        VideoFrame::from_i420(I420::new(width, height).unwrap(), Colour::BT601, 3000)
    }

    #[test]
    fn the_banner_is_in_the_middle_and_leaves_the_rest_as_it_was() {
        let frame = frame(320, 240);
        let before = frame.tensor().unwrap().to_vec3::<u8>().unwrap();
        let drawn = banner(false).draw(frame).unwrap();
        let after = drawn.tensor().unwrap().to_vec3::<u8>().unwrap();
        assert_eq!((drawn.timestamp(), after.len()), (3000, 240));
        assert_eq!((&before[..100], &before[140..]), (&after[..100], &after[140..]));
        let ink = |columns: std::ops::Range<usize>| {
            after[100..140]
                .iter()
                .flat_map(|row| &row[columns.clone()])
                .filter(|pixel| pixel[0] == INK[0])
                .count()
        };
        let (left, right) = (ink(0..160), ink(160..320));
        assert!(left > 100 && right > 40, "{left} {right}");
        assert_eq!(ink(0..80) + ink(240..320), 0, "it is centred");
    }

    #[test]
    fn a_banner_that_hides_the_input_does_not_look_at_it() {
        let mut banner = banner(true);
        let drawn = banner.draw(frame(64, 48)).unwrap();
        let pixels = drawn.tensor().unwrap();
        assert_eq!(pixels.dims(), [48, 64, 3]);
        let again = banner.draw(frame(64, 48)).unwrap();
        assert_eq!(pixels.id(), again.tensor().unwrap().id(), "it is painted once");
    }

    #[test]
    fn pictures_of_any_size_and_channels_can_be_drawn_on() {
        for (width, height) in [(2, 2), (16, 16), (17, 9), (1920, 1080)] {
            for whole in [false, true] {
                let drawn = banner(whole).draw(frame(width, height)).unwrap();
                assert_eq!((drawn.width(), drawn.height()), (width, height));
            }
        }
        let grey = Tensor::zeros((40, 60, 1), candle_core::DType::U8, &Device::Cpu).unwrap();
        let drawn = banner(false).draw(VideoFrame::from_tensor(grey, 0).unwrap()).unwrap();
        assert_eq!(drawn.tensor().unwrap().dims(), [40, 60, 3]);
    }
}
