//! Which pictures to keep so that no more than so many a second go out.

/// Thins pictures out by their timestamps. The grid is cumulative: rounding never adds up to drift.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Timestamp that the grid starts at and the number of its next free place.
    grid: Option<(i64, i64)>,
    fps: u32,
    last: Option<i64>,
}

impl Pacer {
    /// Whether the picture at `timestamp` (90 kHz ticks) is to be kept at `fps` pictures per second at most.
    pub(crate) fn keep(&mut self, timestamp: i64, fps: Option<u32>) -> bool {
        let Some(fps) = fps.filter(|fps| *fps > 0) else {
            self.grid = None;
            return true;
        };
        let interval = 90_000 / i64::from(fps);
        let step = self.last.replace(timestamp).map_or(interval, |last| timestamp.saturating_sub(last));
        let Some((start, next)) = self.grid.filter(|_| self.fps == fps) else {
            self.fps = fps;
            self.grid = Some((timestamp, 1));
            return true;
        };
        let since = timestamp.saturating_sub(start);
        let due = next.saturating_mul(90_000) / i64::from(fps);
        // Half a picture early is on time: a source's own jitter must not cost pictures of a stream that is no
        // faster than the limit.
        if since >= 0 && since.saturating_add(step.clamp(0, interval) / 2) < due {
            return false;
        }
        if since < 0 || since > due.saturating_add(4 * interval) {
            // A jump, or a pause: start anew instead of catching up.
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

    fn kept(input_fps: i64, seconds: i64, limit: u32) -> usize {
        let mut pacer = Pacer::default();
        (0..input_fps * seconds).filter(|n| pacer.keep(n * 90_000 / input_fps, Some(limit))).count()
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
        let jittered = (0..3000).filter(|n: &i64| pacer.keep(n * 3000 + (n * 7919 % 1400) - 700, Some(30)));
        assert_eq!(jittered.count(), 3000);
    }

    #[test]
    fn a_pause_is_not_caught_up_with_a_burst() {
        let mut pacer = Pacer::default();
        assert!(pacer.keep(0, Some(10)));
        let after: Vec<_> = (0..10).filter(|n| pacer.keep(900_000 + n * 3000, Some(10))).collect();
        assert_eq!(after, [0, 3, 6, 9].map(|n| n as i64)[..after.len()]);
    }

    #[test]
    fn a_jump_back_starts_anew() {
        let mut pacer = Pacer::default();
        assert!(pacer.keep(9_000_000, Some(10)));
        assert!(pacer.keep(0, Some(10)));
        assert!(!pacer.keep(3000, Some(10)));
    }
}
