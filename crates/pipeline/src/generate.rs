//! Schedules the frames of a stream without input. Takes the time as an argument.

use cutrickle_media::Ticks;

/// The frames per second, unless the worker or the stream sets another value.
const FPS: u32 = 24;

/// A grid of moments. It is cumulative, so neither rounding nor a slow processor makes it drift.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    /// The start of the grid, its rate, and the number of moments that have passed.
    start: Ticks,
    fps: u32,
    over: i64,
}

impl Grid {
    /// Returns the next moment at `fps` frames per second, given that it is `now`; both are counted from the
    /// stream's start. Missed moments before `now` are skipped, except for the newest.
    pub(crate) fn next(&mut self, now: Ticks, fps: Option<u32>) -> Ticks {
        let fps = fps.filter(|fps| *fps > 0).unwrap_or(FPS);
        if fps != self.fps {
            // The moment that was due next stays where it was.
            let start = if self.fps == 0 { Ticks::ZERO } else { self.at(self.over) };
            *self = Self { start, fps, over: 0 };
        }
        let newest = ((now - self.start) * i64::from(fps)).get() / Ticks::PER_SECOND.get();
        self.over = self.over.max(newest);
        let moment = self.at(self.over);
        self.over += 1;
        moment
    }

    fn at(&self, n: i64) -> Ticks {
        self.start + Ticks::PER_SECOND * n / i64::from(self.fps.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(grid: &mut Grid, now: i64, fps: Option<u32>) -> i64 {
        grid.next(Ticks::new(now), fps).get()
    }

    #[test]
    fn an_hour_of_pictures_takes_an_hour_at_any_rate() {
        for fps in [7, 24, 30, 60] {
            let mut grid = Grid::default();
            let mut now = 0;
            for _ in 0..i64::from(fps) * 3600 {
                now = next(&mut grid, now, Some(fps));
            }
            assert_eq!(next(&mut grid, now, Some(fps)), 3600 * Ticks::PER_SECOND.get(), "{fps}");
        }
    }

    #[test]
    fn a_slow_processor_gets_the_newest_moment_and_stays_on_the_grid() {
        let mut grid = Grid::default();
        assert_eq!(next(&mut grid, 0, Some(30)), 0);
        assert_eq!(next(&mut grid, 10_000, Some(30)), 9_000);
        assert_eq!(next(&mut grid, 10_001, Some(30)), 12_000);
    }

    #[test]
    fn a_new_rate_goes_on_from_the_moment_that_was_due() {
        let mut grid = Grid::default();
        next(&mut grid, 0, Some(30));
        assert_eq!(next(&mut grid, 1, Some(60)), 3_000);
        assert_eq!(next(&mut grid, 1, Some(60)), 4_500);
        assert_eq!(next(&mut grid, 1, None), 6_000);
    }
}
