//! How fast output frames come, by their timestamps, and how many bits that gives them. An encoder is told when either
//! has changed.

use cutrickle_codec::EncoderConfig;
use cutrickle_media::{Ticks, Timestamp};

/// The rate of the frames that go to an encoder, measured from one segment to the next.
#[derive(Debug, Default)]
pub(crate) struct PictureRate {
    /// The segment's first timestamp, and the frames since then, the first among them.
    segment: Option<(Timestamp, u32)>,
    measured: Option<f64>,
}

/// What is expected before anything was measured.
const USUAL_FPS: f64 = 30.0;
/// Frames that make a measurement: fewer are a segment that was cut short.
const MIN_FRAMES: u32 = 4;
/// An encoder is told of changes beyond this share; within it rate control evens things out.
const TOLERATED: f64 = 0.2;

impl PictureRate {
    /// A frame goes to the encoder; `begins`: a segment.
    pub(crate) fn frame(&mut self, timestamp: Timestamp, begins: bool) {
        match &mut self.segment {
            Some((_, frames)) if !begins => *frames = frames.saturating_add(1),
            segment => {
                if let Some((first, frames)) = segment.replace((timestamp, 1)) {
                    let span = timestamp - first;
                    // A clock that was set back, or ahead by more than a segment lasts, measures nothing.
                    if frames >= MIN_FRAMES && (Ticks::new(1)..=Ticks::PER_SECOND * 10).contains(&span) {
                        self.measured = Some(f64::from(frames) / span.seconds());
                    }
                }
            }
        }
    }

    /// Frames a second to expect where at most `most` are let through.
    pub(crate) fn fps(&self, most: Option<u32>) -> f64 {
        let most = most.map(f64::from);
        let expected = self.measured.or(most).unwrap_or(USUAL_FPS);
        most.map_or(expected, |most| expected.min(most)).max(1.0)
    }
}

/// Bits a second for frames of this size and rate: 0.1 bit a pixel is 2.8 Mbit/s for 720p30, where H.264 of a fast
/// encoder still looks clean.
pub(crate) fn bitrate(width: u32, height: u32, fps: f64) -> u32 {
    (f64::from(width) * f64::from(height) * fps * 0.1).clamp(200_000.0, 50_000_000.0) as u32
}

/// Whether an encoder that is configured as `now` is to be told of `wanted`.
pub(crate) fn differs(now: &EncoderConfig, wanted: &EncoderConfig) -> bool {
    let beyond = |now: f64, wanted: f64| (wanted / now - 1.0).abs() > TOLERATED;
    beyond(now.fps, wanted.fps) || beyond(now.bitrate.into(), wanted.bitrate.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = Ticks::PER_SECOND.get();

    /// Frames of `fps` for a second, as a segment that begins at `from`.
    fn second(rate: &mut PictureRate, from: i64, fps: i64) {
        for n in 0..fps {
            rate.frame(Timestamp::from_ticks(from + n * SECOND / fps), n == 0);
        }
    }

    #[test]
    fn the_rate_is_what_came_in_the_last_segment_and_no_more_than_is_let_through() {
        let mut rate = PictureRate::default();
        assert_eq!((rate.fps(None), rate.fps(Some(24)), rate.fps(Some(60))), (30.0, 24.0, 60.0));
        second(&mut rate, 0, 60);
        second(&mut rate, SECOND, 15);
        assert_eq!((rate.fps(None), rate.fps(Some(24))), (60.0, 24.0));
        second(&mut rate, 2 * SECOND, 15);
        assert_eq!((rate.fps(None), rate.fps(Some(24)), rate.fps(Some(5))), (15.0, 15.0, 5.0));
    }

    #[test]
    fn a_jump_of_the_clock_and_a_segment_cut_short_measure_nothing() {
        let mut rate = PictureRate::default();
        second(&mut rate, 0, 25);
        second(&mut rate, SECOND, 25);
        for first in [3600 * SECOND, 0, 10] {
            rate.frame(Timestamp::from_ticks(first), true);
            rate.frame(Timestamp::from_ticks(first + 3000), false);
            assert_eq!(rate.fps(None), 25.0);
        }
    }
}
