//! Selects which frames to keep so that a frame rate is not exceeded.

use cutrickle_media::{Ticks, Timestamp};

/// Thins out frames by their timestamps. The grid is cumulative, so rounding errors never add up to drift.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// The timestamp at which the grid starts, and the number of its next free slot.
    grid: Option<(Timestamp, i64)>,
    fps: u32,
    last: Option<Timestamp>,
}

impl Pacer {
    /// Whether to keep the frame at `timestamp` at a maximum of `fps` frames per second.
    pub(crate) fn keep(&mut self, timestamp: Timestamp, fps: Option<u32>) -> bool {
        let Some(fps) = fps.filter(|fps| *fps > 0) else {
            self.grid = None;
            return true;
        };
        let interval = Ticks::PER_SECOND / i64::from(fps);
        let step = self.last.replace(timestamp).map_or(interval, |last| timestamp - last);
        let Some((start, next)) = self.grid.filter(|_| self.fps == fps) else {
            self.fps = fps;
            self.grid = Some((timestamp, 1));
            return true;
        };
        let since = timestamp - start;
        let due = Ticks::PER_SECOND * next / i64::from(fps);
        // Half a frame early counts as on time, because jitter must not cost frames of a stream that is no
        // faster than the limit.
        if since >= Ticks::ZERO && since + step.clamp(Ticks::ZERO, interval) / 2 < due {
            return false;
        }
        if since < Ticks::ZERO || since > due + interval * 4 {
            // After a jump or a pause, start a new grid instead of catching up.
            self.grid = Some((timestamp, 1));
        } else {
            self.grid = Some((start, next + 1));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(pacer: &mut Pacer, ticks: i64, fps: u32) -> bool {
        pacer.keep(Timestamp::from_ticks(ticks), Some(fps))
    }

    fn kept(input_fps: i64, seconds: i64, limit: u32) -> usize {
        let mut pacer = Pacer::default();
        (0..input_fps * seconds).filter(|n| keep(&mut pacer, n * 90_000 / input_fps, limit)).count()
    }

    #[test]
    fn the_limit_holds_over_a_long_time_without_drift() {
        for (input, limit) in [(30, 24), (60, 7), (30, 1), (25, 24), (60, 60)] {
            let kept = kept(input, 600, limit) as i64;
            assert!((kept - 600 * i64::from(limit)).abs() <= 1, "{input} fps limited to {limit}: {kept}");
        }
    }

    #[test]
    fn a_stream_no_faster_than_the_limit_loses_nothing() {
        assert_eq!(kept(30, 100, 30), 3000);
        assert_eq!(kept(24, 100, 30), 2400);
        let mut pacer = Pacer::default();
        let jittered = (0..3000).filter(|n: &i64| keep(&mut pacer, n * 3000 + (n * 7919 % 1400) - 700, 30));
        assert_eq!(jittered.count(), 3000);
    }

    #[test]
    fn a_pause_is_not_caught_up_with_a_burst() {
        let mut pacer = Pacer::default();
        assert!(keep(&mut pacer, 0, 10));
        let after: Vec<_> = (0..10).filter(|n| keep(&mut pacer, 900_000 + n * 3000, 10)).collect();
        assert_eq!(after, [0, 3, 6, 9].map(|n| n as i64)[..after.len()]);
    }

    #[test]
    fn a_jump_back_starts_anew() {
        let mut pacer = Pacer::default();
        assert!(keep(&mut pacer, 9_000_000, 10));
        assert!(keep(&mut pacer, 0, 10));
        assert!(!keep(&mut pacer, 3000, 10));
    }
}
