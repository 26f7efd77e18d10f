//! Shows a banner over the video while a processor loads.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, Canvas, FrameId, VideoFrame};
use cutrickle_media::{Size, Timestamp};

use super::Part;
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Shows a banner over the video while a processor loads: see [`with_overlay`].
///
/// A stream's processor counts as loading until it returns its first frame; frames that it withholds before
/// are sent with a banner across them. While the stream's parameter `show_loading` is set, the banner
/// replaces every answer, and the processor still receives frames. The timing is the processor's own: a frame
/// is sent when it would have been without the banner. A frame that is withheld while older ones are at work
/// shows nothing. Audio, parameters and hooks pass through.
///
/// A processor whose first call takes long withholds nothing in the meantime. Wrapped in
/// `with_overlay(with_timeout(processor, limit).withholding())`, its stream shows the banner from the first
/// frame on. In a stream without input, the banner can be drawn only on generated frames.
#[derive(Debug, Clone)]
pub struct Overlay<S> {
    stage: S,
    banner: Banner,
}

/// Shows a banner while `stage` loads and while `show_loading` is set. Its text is "Loading…" unless changed
/// by [`Overlay::text`].
pub fn with_overlay<S: Stage>(stage: S) -> Overlay<S> {
    Overlay { stage, banner: Banner { text: "Loading…".into(), whole: false, drawn: None } }
}

impl<S> Overlay<S> {
    /// Sets the text of the banner. Latin letters, digits and common punctuation can be drawn.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.banner.text = text.into();
        self
    }

    /// Fills the whole frame, so that nothing of the input is visible.
    #[must_use]
    pub fn hiding_input(mut self) -> Self {
        self.banner.whole = true;
        self
    }
}

impl<S: Stage> sealed::Sealed for Overlay<S> {}

impl<S: Stage> Stage for Overlay<S> {
    type Running = OverlayRunning<S::Running>;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.stage.initialize(device).await
    }

    fn parts(&self) -> Vec<Part> {
        self.stage.parts()
    }

    fn takes_audio(&self) -> bool {
        self.stage.takes_audio()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Self::Running> {
        let running = self.stage.start(stream).await?;
        let (banner, stream) = (self.banner.clone(), stream.clone());
        Ok(OverlayRunning { running, banner, loaded: false, stream, at_work: VecDeque::new() })
    }
}

/// [`Overlay`] in one stream.
#[doc(hidden)]
#[derive(Debug)]
pub struct OverlayRunning<R> {
    running: R,
    banner: Banner,
    loaded: bool,
    stream: StreamContext,
    /// The frames that the processor has at work, oldest first, as they arrived.
    at_work: VecDeque<(FrameId, Option<VideoFrame>)>,
}

impl<R> OverlayRunning<R> {
    /// Returns the output for the frame `input`, which was answered with `answer`.
    fn shown(&mut self, input: Option<VideoFrame>, answer: Option<VideoFrame>) -> Result<Option<VideoFrame>> {
        self.loaded |= answer.is_some();
        let asked_for = self.stream.show_loading();
        let shown = match (answer, input) {
            (Some(answer), input) if asked_for => input.unwrap_or(answer),
            (None, Some(input)) if !self.loaded || asked_for => input,
            (answer, _) => return Ok(answer),
        };
        self.banner.draw(shown).map(Some)
    }

    /// Keeps the unprocessed frame if it may be needed; otherwise it costs nothing.
    fn kept(&self, frame: &VideoFrame) -> Option<VideoFrame> {
        (!self.loaded || self.stream.show_loading()).then(|| frame.clone())
    }
}

impl<R> sealed::Sealed for OverlayRunning<R> {}

impl<R: Running> Running for OverlayRunning<R> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (id, kept) = (frame.id(), self.kept(&frame));
        match self.running.start_video(frame).await? {
            // Older frames are still to come out, so nothing can be shown in place of this one.
            Started::Done(None) if !self.at_work.is_empty() => Ok(Started::Done(None)),
            Started::Done(answer) => self.shown(kept, answer).map(Started::Done),
            Started::AtWork => {
                self.at_work.push_back((id, kept));
                Ok(Started::AtWork)
            }
        }
    }

    async fn video_ready(&mut self) {
        self.running.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        let Finished { id, result } = self.running.finish_video().await?;
        let place = self.at_work.iter().position(|(of, _)| *of == id);
        let kept = place.and_then(|place| self.at_work.remove(place)).and_then(|(_, kept)| kept);
        let result = match result {
            Ok(None) if place.is_some_and(|place| place > 0) => Ok(None),
            Ok(answer) => self.shown(kept, answer),
            Err(e) => Err(e),
        };
        Some(Finished { id, result })
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.running.process_audio(frame).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        let made = self.running.generate(timestamp).await?;
        Ok(Generated { video: self.shown(None, made.video)?, ..made })
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.running.update_params(params).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.running.stop().await
    }
}

/// A dark bar with text in its middle, as wide as the frame, and as high as a sixth of it or all of it.
#[derive(Debug, Clone)]
struct Banner {
    text: String,
    whole: bool,
    /// The last banner drawn, for frames of the same size.
    drawn: Option<Drawn>,
}

#[derive(Debug, Clone)]
struct Drawn {
    /// The height and width of the frame.
    of: (usize, usize),
    /// (H', W, 4), u8, on the frame's device; (H', W, 3) for a banner that hides the input.
    pixels: Tensor,
}

/// The colours of background and text, RGBA.
const GROUND: [u8; 4] = [24, 24, 24, 208];
const INK: [u8; 4] = [235, 235, 235, 255];
/// The height in rows of the smallest banner with room for text.
const MIN_ROWS: usize = 9;

impl Banner {
    /// Draws the banner across `frame`. The pixels under a banner that hides the input are not read.
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
        let rows = if self.whole { height } else { (height / 6).max(MIN_ROWS).min(height) };
        let mut canvas = Canvas::new(width as u32, rows as u32)?;
        canvas.fill(GROUND);
        // Text is as large as fits into four fifths of the width and half of the banner's height.
        let limit = Size::new(width as u32 * 4 / 5, (height as u32 / 6).max(2) / 2);
        canvas.centred_text(&self.text, limit, INK);
        let rgba = canvas.tensor(&Device::Cpu)?;
        Ok(if self.whole { rgba.narrow(2, 0, 3)?.contiguous()? } else { rgba })
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::I420;
    use cutrickle_media::Colour;

    use super::*;

    fn banner(whole: bool) -> Banner {
        Banner { text: "Loading…".into(), whole, drawn: None }
    }

    fn frame(width: u32, height: u32) -> VideoFrame {
        VideoFrame::from_i420(I420::new(width, height).unwrap(), Colour::BT601, Timestamp::from_ticks(3000))
    }

    #[test]
    fn the_banner_is_in_the_middle_and_leaves_the_rest_as_it_was() {
        let frame = frame(320, 240);
        let before = frame.tensor().unwrap().to_vec3::<u8>().unwrap();
        let drawn = banner(false).draw(frame).unwrap();
        let after = drawn.tensor().unwrap().to_vec3::<u8>().unwrap();
        assert_eq!((drawn.timestamp().ticks(), after.len()), (3000, 240));
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
        let drawn = banner(false).draw(VideoFrame::from_tensor(grey, Timestamp::ZERO).unwrap()).unwrap();
        assert_eq!(drawn.tensor().unwrap().dims(), [40, 60, 3]);
    }
}
