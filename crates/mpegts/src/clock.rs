//! The 90 kHz clock: unwraps 33-bit timestamps, and counts timestamps in samples without drift. Clock jumps
//! are handled in `timeline`.

use cutrickle_media::{Ticks, Timestamp};

/// Ticks per second, for the arithmetic within this crate.
pub(crate) const TICKS_PER_SECOND: i64 = Ticks::PER_SECOND.get();

/// The period of a 33-bit timestamp, about 26.5 hours.
pub const WRAP: i64 = 1 << 33;

/// Extends 33-bit timestamps to 64 bits by choosing the value nearest to the previous one.
///
/// All tracks of a program share one unwrapper, so that a track that starts just after the wrap stays close
/// to one that started just before it. A single wrong timestamp does no lasting harm, because the nearest
/// value is chosen in both directions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper {
    last: Option<i64>,
}

impl Unwrapper {
    /// Creates an unwrapper that takes its first timestamp as it is.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Returns the 64-bit timestamp for `raw`, of which only the low 33 bits are used.
    pub fn unwrap(&mut self, raw: u64) -> Timestamp {
        let raw = (raw as i64) & (WRAP - 1);
        let value = match self.last {
            None => raw,
            Some(last) => {
                let ahead = raw.wrapping_sub(last) & (WRAP - 1);
                let step = if ahead >= WRAP / 2 { ahead - WRAP } else { ahead };
                last.saturating_add(step)
            }
        };
        self.last = Some(value);
        Timestamp::from_ticks(value)
    }
}

/// A timestamp that advances by samples. It is always computed from its base, so rounding errors do not add
/// up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SampleClock {
    base: Option<Timestamp>,
    samples: u64,
    rate: u32,
}

impl SampleClock {
    /// Sets the timestamp of the next sample.
    pub(crate) fn set(&mut self, pts: Timestamp) {
        self.base = Some(pts);
        self.samples = 0;
    }

    /// Returns the timestamp of the next sample, or `None` if none has been set yet.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        let passed = match self.rate {
            0 => 0,
            rate => {
                let rate = u128::from(rate);
                (u128::from(self.samples) * TICKS_PER_SECOND as u128 + rate / 2) / rate
            }
        };
        Some(self.base? + Ticks::new(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    /// Advances by `samples` at `rate` per second.
    pub(crate) fn advance(&mut self, samples: u32, rate: u32) {
        if rate != self.rate {
            self.base = self.now();
            self.samples = 0;
            self.rate = rate;
        }
        self.samples = self.samples.saturating_add(u64::from(samples));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_on_over_the_wrap_in_both_directions() {
        let mut clock = Unwrapper::new();
        let top = (WRAP - 100) as u64;
        assert_eq!([top, 50, top].map(|raw| clock.unwrap(raw).ticks()), [WRAP - 100, WRAP + 50, WRAP - 100]);
        let mut clock = Unwrapper::new();
        assert_eq!([10, top].map(|raw| clock.unwrap(raw).ticks()), [10, -100]);
    }

    #[test]
    fn a_wrong_stamp_does_not_shift_those_after_it() {
        for wrong in [1 << 32, (1 << 32) - 1, (1 << 32) + 1, 5, (1 << 33) - 1] {
            let mut clock = Unwrapper::new();
            clock.unwrap(90_000);
            clock.unwrap(90_000 ^ wrong);
            // At exactly half a period there is no nearest value; the result is within one period.
            let after = clock.unwrap(93_000).ticks();
            assert!(after == 93_000 || wrong >= (1 << 32) - 1, "{wrong}: {after}");
        }
    }

    #[test]
    fn a_million_frames_at_44100_hz_do_not_drift() {
        let mut clock = SampleClock::default();
        clock.set(Timestamp::ZERO);
        for _ in 0..1_000_000 {
            clock.advance(1024, 44_100);
        }
        // 2089795918.37 ticks.
        assert_eq!(clock.now(), Some(Timestamp::from_ticks(2_089_795_918)));
    }
}
