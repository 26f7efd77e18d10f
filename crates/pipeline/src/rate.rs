//! Measures the rate of output frames by their timestamps, and chooses the bitrate for it. An encoder is
//! reconfigured when either has changed.

use cutrickle_codec::EncoderConfig;
use cutrickle_media::{Ticks, Timestamp};

/// The rate of the frames sent to an encoder, measured from one segment to the next.
#[derive(Debug, Default)]
pub(crate) struct PictureRate {
    /// The segment's first timestamp, and the number of frames since, including the first.
    segment: Option<(Timestamp, u32)>,
    measured: Option<f64>,
}

/// The rate expected before anything was measured.
const USUAL_FPS: f64 = 30.0;
/// The fewest frames for a measurement; fewer mean that the segment was cut short.
const MIN_FRAMES: u32 = 4;
/// The relative change beyond which an encoder is reconfigured; smaller ones are evened out by rate control.
const TOLERATED: f64 = 0.2;

impl PictureRate {
    /// Records a frame sent to the encoder. `begins` says whether it begins a segment.
    pub(crate) fn frame(&mut self, timestamp: Timestamp, begins: bool) {
        match &mut self.segment {
            Some((_, frames)) if !begins => *frames = frames.saturating_add(1),
            segment => {
                if let Some((first, frames)) = segment.replace((timestamp, 1)) {
                    let span = timestamp - first;
                    // A clock that was set back, or ahead by more than a segment lasts, gives no measurement.
                    if frames >= MIN_FRAMES && (Ticks::new(1)..=Ticks::PER_SECOND * 10).contains(&span) {
                        self.measured = Some(f64::from(frames) / span.seconds());
                    }
                }
            }
        }
    }

    /// The expected frames per second, given that at most `most` are let through.
    pub(crate) fn fps(&self, most: Option<u32>) -> f64 {
        let most = most.map(f64::from);
        let expected = self.measured.or(most).unwrap_or(USUAL_FPS);
        most.map_or(expected, |most| expected.min(most)).max(1.0)
    }
}

/// Bits per second for frames of this size and rate. 0.1 bit per pixel is 2.8 Mbit/s for 720p30, at which
/// H.264 from a fast encoder still looks clean.
pub(crate) fn bitrate(width: u32, height: u32, fps: f64) -> u32 {
    (f64::from(width) * f64::from(height) * fps * 0.1).clamp(200_000.0, 50_000_000.0) as u32
}

/// Whether an encoder configured as `now` should be reconfigured as `wanted`.
pub(crate) fn differs(now: &EncoderConfig, wanted: &EncoderConfig) -> bool {
    let beyond = |now: f64, wanted: f64| (wanted / now - 1.0).abs() > TOLERATED;
    beyond(now.fps, wanted.fps) || beyond(now.bitrate.into(), wanted.bitrate.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = Ticks::PER_SECOND.get();

    /// Records `fps` frames in one second, as a segment that begins at `from`.
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
