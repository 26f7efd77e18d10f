//! From timestamps to the durations of samples. A file has no timestamps: a sample begins where the one before it ends
//! (ISO/IEC 14496-12, 8.6.1.2).

use cutrickle_media::{Ticks, Timestamp};
use mp4_atom::SttsEntry;

/// Packets of audio may be this far from where the packet before them ends, in parts of a second: the rounding of some
/// container's clock, or its drift. What is further away follows a gap.
const ROUNDING: u64 = 100;
/// The length of a lone sample that does not say how long it lasts, in parts of a second.
const LONE: u64 = 30;

/// The durations of a track's samples.
#[derive(Debug)]
pub(super) struct Timing {
    scale: u32,
    first: Option<Timestamp>,
    /// Where the newest sample begins, in the track's time scale since the first one, and how long it says it lasts.
    newest: Option<(u64, Option<u32>)>,
    /// The duration of the sample before that.
    step: Option<u32>,
    /// Of all samples but the newest.
    runs: Vec<SttsEntry>,
}

impl Timing {
    /// Of a track whose time scale has `scale` units a second.
    pub(super) fn new(scale: u32) -> Self {
        Self { scale: scale.max(1), first: None, newest: None, step: None, runs: Vec::new() }
    }

    pub(super) fn scale(&self) -> u32 {
        self.scale
    }

    /// When the first sample begins.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// Adds a sample that begins at `at` and lasts `lasts` units, if it says so.
    pub(super) fn add(&mut self, at: Timestamp, lasts: Option<u32>) {
        let first = *self.first.get_or_insert(at);
        let due = self.units(at - first);
        let begins = match self.newest {
            None => 0,
            Some((begins, Some(lasts))) => {
                let next = begins + u64::from(lasts);
                if next.abs_diff(due) <= u64::from(self.scale) / ROUNDING {
                    next
                } else {
                    due.max(begins + 1)
                }
            }
            Some((begins, None)) => due.max(begins + 1),
        };
        if let Some((before, _)) = self.newest {
            let step = u32::try_from(begins - before).unwrap_or(u32::MAX);
            self.step = Some(step);
            push(&mut self.runs, step);
        }
        self.newest = Some((begins, lasts));
    }

    /// The table of durations, and how long all of them are.
    pub(super) fn finish(&self) -> (Vec<SttsEntry>, u64) {
        let mut runs = self.runs.clone();
        if let Some((_, lasts)) = self.newest {
            let lone = || u32::try_from(u64::from(self.scale) / LONE).unwrap_or(u32::MAX);
            push(&mut runs, lasts.or(self.step).unwrap_or_else(lone));
        }
        let duration = runs.iter().map(|run| u64::from(run.sample_count) * u64::from(run.sample_delta)).sum();
        (runs, duration)
    }

    /// A span in the track's time scale, rounded; none is below 0.
    fn units(&self, span: Ticks) -> u64 {
        let second = i128::from(Ticks::PER_SECOND.get());
        let units = (i128::from(span.get()) * i128::from(self.scale) + second / 2).div_euclid(second);
        // Some centuries at any scale: sums stay far from overflowing.
        u64::try_from(units).unwrap_or_default().min(u64::MAX / 4)
    }
}

fn push(runs: &mut Vec<SttsEntry>, delta: u32) {
    match runs.last_mut() {
        Some(run) if run.sample_delta == delta => run.sample_count += 1,
        _ => runs.push(SttsEntry { sample_count: 1, sample_delta: delta }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(scale: u32, samples: &[(i64, Option<u32>)]) -> Vec<(u32, u32)> {
        let mut timing = Timing::new(scale);
        samples.iter().for_each(|(at, lasts)| timing.add(Timestamp::from_ticks(*at), *lasts));
        timing.finish().0.iter().map(|run| (run.sample_count, run.sample_delta)).collect()
    }

    #[test]
    fn frames_last_until_the_next_one_and_the_last_as_long_as_the_one_before() {
        assert_eq!(durations(90_000, &[(700, None), (3_700, None), (6_700, None)]), [(3, 3_000)]);
        assert_eq!(durations(90_000, &[(0, None), (3_000, None), (9_000, None)]), [(1, 3_000), (2, 6_000)]);
        assert_eq!(durations(90_000, &[(5, None)]), [(1, 3_000)]);
        assert_eq!(durations(90_000, &[]), []);
    }

    #[test]
    fn audio_lasts_as_long_as_it_says_despite_rounding() {
        // 44.1 kHz: a packet is 2089.8 ticks long.
        let packets: Vec<_> = (0..500).map(|n| (n * 2_089_796 / 1_000, Some(1_024))).collect();
        assert_eq!(durations(44_100, &packets), [(500, 1_024)]);
    }

    #[test]
    fn a_gap_in_the_audio_stays_one() {
        let packets = [(0, Some(960)), (1_800, Some(960)), (93_600, Some(960)), (95_400, Some(960))];
        assert_eq!(durations(48_000, &packets), [(1, 960), (1, 960 + 48_000), (2, 960)]);
    }

    #[test]
    fn audio_that_drifts_is_put_back_where_it_belongs() {
        // Each packet comes a millisecond late: after eleven of them the sum is noticed.
        let packets: Vec<_> = (0..12).map(|n| (n * (1_800 + 90), Some(960))).collect();
        assert_eq!(durations(48_000, &packets), [(10, 960), (1, 960 + 11 * 48), (1, 960)]);
    }

    #[test]
    fn time_that_stands_still_or_jumps_breaks_nothing() {
        let odd = [(0, None), (0, None), (-5, None), (i64::MAX, None), (i64::MIN, None)];
        assert_eq!(durations(90_000, &odd), [(2, 1), (1, u32::MAX), (2, 1)]);
    }
}
