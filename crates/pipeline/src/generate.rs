//! When a stream without input makes its next picture. Takes the time as an argument.

use cutrickle_frame::TICKS_PER_SECOND;

/// Pictures per second unless the worker or the stream says otherwise.
const FPS: u32 = 24;

/// A grid of moments. It is cumulative: neither rounding nor a slow processor makes it drift.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    /// Where the grid starts, its rate, and how many of its moments are over.
    start: i64,
    fps: u32,
    over: i64,
}

impl Grid {
    /// The next moment at `fps` pictures per second, given that it is `now`; both in 90 kHz ticks from the stream's
    /// start. Moments before `now` that nobody asked for are left out, but for the newest.
    pub(crate) fn next(&mut self, now: i64, fps: Option<u32>) -> i64 {
        let fps = fps.filter(|fps| *fps > 0).unwrap_or(FPS);
        if fps != self.fps {
            // The moment that was due next stays where it was.
            let start = if self.fps == 0 { 0 } else { self.at(self.over) };
            *self = Self { start, fps, over: 0 };
        }
        let newest = now.saturating_sub(self.start).saturating_mul(i64::from(fps)) / TICKS_PER_SECOND;
        self.over = self.over.max(newest);
        let moment = self.at(self.over);
        self.over += 1;
        moment
    }

    fn at(&self, n: i64) -> i64 {
        self.start + n.saturating_mul(TICKS_PER_SECOND) / i64::from(self.fps.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_pictures_takes_an_hour_at_any_rate() {
        for fps in [7, 24, 30, 60] {
            let mut grid = Grid::default();
            let mut now = 0;
            for _ in 0..i64::from(fps) * 3600 {
                now = grid.next(now, Some(fps));
            }
            assert_eq!(grid.next(now, Some(fps)), 3600 * TICKS_PER_SECOND, "{fps}");
        }
    }

    #[test]
    fn a_slow_processor_gets_the_newest_moment_and_stays_on_the_grid() {
        let mut grid = Grid::default();
        assert_eq!(grid.next(0, Some(30)), 0);
        assert_eq!(grid.next(10_000, Some(30)), 9_000);
        assert_eq!(grid.next(10_001, Some(30)), 12_000);
    }

    #[test]
    fn a_new_rate_goes_on_from_the_moment_that_was_due() {
        let mut grid = Grid::default();
        grid.next(0, Some(30));
        assert_eq!(grid.next(1, Some(60)), 3_000);
        assert_eq!(grid.next(1, Some(60)), 4_500);
        assert_eq!(grid.next(1, None), 6_000);
    }
}
