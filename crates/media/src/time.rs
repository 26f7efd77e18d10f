//! Points and spans on the 90 kHz clock (ISO/IEC 13818-1, 2.4.2.1). Unwrapping the 33 bits that a transport
//! stream carries, and handling jumps of the clock, are left to the demuxer.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};
use std::time::Duration;

/// A point in time on a stream's clock, in ticks of 90 kHz.
///
/// Arithmetic saturates, because timestamps come from untrusted input and must not overflow.
///
/// ```
/// use cutrickle_media::{Ticks, Timestamp};
///
/// let second = Timestamp::ZERO + Ticks::PER_SECOND;
/// assert_eq!(second.seconds(), 1.0);
/// assert_eq!(second - Timestamp::from_ticks(45_000), Ticks::new(45_000));
/// assert_eq!(Timestamp::from_ticks(i64::MAX) + Ticks::new(1), Timestamp::from_ticks(i64::MAX));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A span of time in ticks of 90 kHz, which may be negative. Arithmetic saturates, as for [`Timestamp`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(i64);

impl Timestamp {
    /// The zero of the clock.
    pub const ZERO: Self = Self(0);

    /// Creates the point `ticks` after zero.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Ticks since zero.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Seconds since zero.
    pub fn seconds(self) -> f64 {
        self.since_zero().seconds()
    }

    /// The span from zero to here.
    pub const fn since_zero(self) -> Ticks {
        Ticks(self.0)
    }

    /// The absolute span between `other` and this point.
    pub fn distance(self, other: Self) -> Ticks {
        (self - other).abs()
    }
}

impl Ticks {
    /// An empty span.
    pub const ZERO: Self = Self(0);
    /// One second.
    pub const PER_SECOND: Self = Self(90_000);
    /// The longest span.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates a span of `ticks` ticks.
    pub const fn new(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Creates a span of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(90))
    }

    /// The number of ticks.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The span in seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / Self::PER_SECOND.0 as f64
    }

    /// The absolute value of the span.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// The span as a duration, rounded down to a nanosecond; zero if the span is negative.
    pub fn duration(self) -> Duration {
        let ticks = u64::try_from(self.0).unwrap_or_default();
        let (seconds, rest) = (ticks / 90_000, ticks % 90_000);
        // Below 10^9, because the rest is less than a second.
        Duration::new(seconds, (rest * 100_000 / 9) as u32)
    }
}

impl From<Duration> for Ticks {
    /// Rounded down to a tick.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos() * 9 / 100_000).unwrap_or(i64::MAX))
    }
}

impl Add<Ticks> for Timestamp {
    type Output = Self;

    fn add(self, span: Ticks) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Ticks> for Timestamp {
    fn add_assign(&mut self, span: Ticks) {
        *self = *self + span;
    }
}

impl Sub<Ticks> for Timestamp {
    type Output = Self;

    fn sub(self, span: Ticks) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Ticks;

    fn sub(self, earlier: Self) -> Ticks {
        Ticks(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Ticks {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Ticks {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Ticks {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Mul<i64> for Ticks {
    type Output = Self;

    fn mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<i64> for Ticks {
    type Output = Self;

    /// Rounds towards zero. Division by zero gives the longest span of the same sign.
    fn div(self, by: i64) -> Self {
        Self(self.0.checked_div(by).unwrap_or(if self.0 < 0 && by == 0 { i64::MIN } else { i64::MAX }))
    }
}

/// In seconds, as used in errors and logs: `1.234 s`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.seconds())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.0)
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.seconds())
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticks({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overflows() {
        let (far, near) = (Timestamp::from_ticks(i64::MAX), Timestamp::from_ticks(i64::MIN));
        assert_eq!(far - near, Ticks::MAX);
        assert_eq!(near - Ticks::MAX - Ticks::MAX, near);
        assert_eq!((near - far).abs(), Ticks::MAX);
        assert_eq!(-Ticks::new(i64::MIN), Ticks::MAX);
        assert_eq!(Ticks::MAX * 2, Ticks::MAX);
        assert_eq!((Ticks::new(i64::MIN) / -1, Ticks::new(5) / 0), (Ticks::MAX, Ticks::MAX));
        assert_eq!(Ticks::from(Duration::MAX), Ticks::MAX);
        assert!(Ticks::MAX.duration() > Duration::from_secs(1 << 40));
    }

    #[test]
    fn spans_and_durations_are_the_same_time() {
        assert_eq!(Ticks::PER_SECOND.duration(), Duration::from_secs(1));
        assert_eq!(Ticks::new(3_000).duration(), Duration::from_nanos(33_333_333));
        assert_eq!(Ticks::new(-1).duration(), Duration::ZERO);
        assert_eq!(Ticks::from(Duration::from_millis(500)), Ticks::new(45_000));
        assert_eq!(Ticks::from_millis(500), Ticks::new(45_000));
        assert_eq!(Timestamp::from_ticks(111_060).to_string(), "1.234 s");
    }
}
