//! A histogram of latencies that uses a fixed amount of memory. Each power of two of microseconds has 32
//! buckets.

use std::time::Duration;

/// The number of buckets for each power of two.
const FINE: u64 = 32;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Enough for 2^33 µs, which is more than two hours. Anything longer goes into the last bucket.
const BUCKETS: usize = FINE as usize * 30;

/// Counts durations, with a precision of about 3 %.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], longest: Duration::ZERO }
    }
}

/// The bucket of a duration. Below `FINE` every microsecond has a bucket, and above it the highest bits
/// select one.
fn bucket(micros: u64) -> usize {
    let power = micros.max(FINE).ilog2().saturating_sub(FINE_BITS);
    let index = u64::from(power) * FINE + (micros >> power);
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The shortest duration that belongs to a bucket. This is the inverse of [`bucket`].
fn floor(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let power = (bucket / FINE).saturating_sub(1);
    (bucket - power * FINE) << power
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.longest = self.longest.max(duration);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.longest = self.longest.max(other.longest);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of milliseconds that `share` (from 0 to 1) of the durations do not exceed, rounded up to
    /// the end of a bucket.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return (floor(index + 1) as f64 / 1e3).min(self.longest_ms());
            }
        }
        0.0
    }

    pub fn longest_ms(&self) -> f64 {
        self.longest.as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_that_says_so() {
        for micros in (0..5000).chain([65_535, 65_536, 1_000_000, 3_600_000_000]) {
            let bucket = bucket(micros);
            assert!(floor(bucket) <= micros && micros < floor(bucket + 1), "{micros} in {bucket}");
            assert!(floor(bucket + 1) - floor(bucket) <= 1 + micros / 32, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_durations() {
        let mut all = Histogram::default();
        for half in 0..2 {
            let mut part = Histogram::default();
            for millis in (1..=100).filter(|millis| millis % 2 == half) {
                part.add(Duration::from_millis(millis));
            }
            all.merge(&part);
        }
        assert_eq!((all.count(), all.longest_ms()), (100, 100.0));
        for (share, wanted) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = all.quantile_ms(share);
            assert!((wanted..=wanted * 1.04).contains(&found), "{share}: {found}");
        }
        assert_eq!(Histogram::default().quantile_ms(0.99), 0.0);
    }
}
