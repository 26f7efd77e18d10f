//! Maps the input's timestamps to output timestamps that never jump back and never leave a gap that the input
//! did not have, for video and audio together. Unwrapping is in `clock`; pacing is left to others.

use std::time::Duration;

use cutrickle_media::{Ticks, Timestamp, TrackKind};

use crate::clock::{TICKS_PER_SECOND, WRAP};

/// A unit may be this far before its track's last one; anything further back is a new clock.
const MAX_BACK: i64 = TICKS_PER_SECOND / 2;
/// A unit that is at most this far after its track's last one simply follows it.
const NEXT: i64 = TICKS_PER_SECOND / 5;
/// A unit may be this far after its track's last one without any explanation.
const MAX_STEP: i64 = TICKS_PER_SECOND;
/// The same when arrival times are not known.
const MAX_UNTIMED_STEP: i64 = 10 * TICKS_PER_SECOND;
/// How far apart units of the same moment may arrive, since video and audio are not interleaved by time.
const MAX_LAG: i64 = 3 * TICKS_PER_SECOND;
/// The longest delay between decoding and presentation; a longer one means a damaged timestamp.
const MAX_REORDERING: i64 = 10 * TICKS_PER_SECOND;
/// One epoch for each track, and one for the clock that a wrong timestamp seems to begin.
const EPOCHS: usize = 3;
/// How many units after an epoch's last one a track may still return to it after a wrong timestamp.
const MAX_ASIDE: u64 = 64;

/// A unit's place in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When to present the unit; never before `dts`.
    pub pts: Timestamp,
    /// When to decode the unit; always later than the previous unit of the same track.
    pub dts: Timestamp,
    /// Whether the input's clock jumped here, so that a new one begins with this unit.
    pub jumped: bool,
}

/// A span of input whose timestamps belong to one clock.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// What is added to the input's timestamps, modulo 2^33.
    offset: i64,
    /// The output time at which it began.
    began_at: i64,
    /// When it began and was last used, counted in mapped units.
    begun: u64,
    used: u64,
}

/// The current position of a track.
#[derive(Debug, Clone, Copy)]
struct Position {
    epoch: usize,
    input: i64,
    output: i64,
    arrived: Option<Duration>,
    /// The last plausible distance between two units.
    step: i64,
}

/// Maps the input's timestamps to a continuous output.
///
/// The output starts at the input's first timestamp, so that input and output stay comparable until the first
/// jump.
///
/// **Pauses and jumps.** When a track continues more than a second after its last unit, the gap counts as a
/// pause if the other track, or the arrival time ([`map_arrived`](Self::map_arrived)), shows that the clock
/// kept running. A pause is kept, however long. Any other gap, and any unit more than 0.5 s before its
/// track's last one, is a jump and begins a new epoch: the unit is placed right after the previous one, and
/// the offset is kept for the epoch. The other track uses the same offset once it gets there, so video and
/// audio stay in sync. Until then its late units are mapped as before, and so are the units after a single
/// wrong timestamp.
///
/// **Correcting a wrong split.** If timestamps of both tracks lie close together in the input but belong to
/// different epochs, the split was wrong. After three seconds the track with the smaller offset takes the
/// other's.
///
/// A unit that goes back by 0.5 s or less is placed one tick after the last one, so that no unit is lost and
/// decoding times strictly increase.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    epochs: [Option<Epoch>; EPOCHS],
    tracks: [Option<Position>; 2],
    mapped: u64,
    jumps: u64,
}

impl Timeline {
    /// Creates a timeline whose output starts at the input's first timestamp.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the input's clock has jumped.
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Maps the next unit of a track when its arrival time is not known, as with a file. A pause of both
    /// tracks is kept if it is at most 10 s; a longer one is a jump.
    pub fn map(&mut self, track: TrackKind, pts: Timestamp, dts: Timestamp) -> Stamp {
        self.place(track, pts.ticks(), dts.ticks(), None)
    }

    /// Maps the next unit of a track, which arrived at `arrived` on any clock that never goes back.
    pub fn map_arrived(
        &mut self,
        track: TrackKind,
        pts: Timestamp,
        dts: Timestamp,
        arrived: Duration,
    ) -> Stamp {
        self.place(track, pts.ticks(), dts.ticks(), Some(arrived))
    }

    fn place(&mut self, track: TrackKind, pts: i64, dts: i64, arrived: Option<Duration>) -> Stamp {
        self.mapped += 1;
        let [video, audio] = self.tracks;
        let (index, own, other, usual_step) = match track {
            TrackKind::Video => (0, video, audio, 3_000),
            TrackKind::Audio => (1, audio, video, 1_920),
        };
        let step = own.map_or(usual_step, |own| own.step);
        let fitting = match (own, other) {
            (Some(own), other) => self.fitting(own, other, dts, arrived),
            (None, Some(other)) => self.joining(other, dts, arrived),
            (None, None) => None,
        };
        let (epoch, jumped) = match fitting {
            Some(epoch) => (epoch, false),
            None => self.begin_epoch(own, other, step, dts, arrived),
        };
        let wished = match own.or(other) {
            Some(last) => last.output.saturating_add(self.step(epoch, dts, last.output)),
            None => dts,
        };
        let output = own.map_or(wished, |own| wished.max(own.output.saturating_add(1)));
        if let Some(Some(epoch)) = self.epochs.get_mut(epoch) {
            epoch.used = self.mapped;
        }
        let step = match own.map(|own| output.saturating_sub(own.output)) {
            Some(passed @ 90..=45_000) => passed,
            _ => step,
        };
        if let Some(position) = self.tracks.get_mut(index) {
            *position = Some(Position { epoch, input: dts, output, arrived, step });
        }
        let reordering = match apart(pts, dts) {
            shown @ 0..=MAX_REORDERING => shown,
            _ => 0,
        };
        let pts = wished.saturating_add(reordering).max(output);
        Stamp { pts: Timestamp::from_ticks(pts), dts: Timestamp::from_ticks(output), jumped }
    }

    fn epoch(&self, index: usize) -> Option<Epoch> {
        self.epochs.get(index).copied().flatten()
    }

    /// Returns how far after `output` a unit would be placed in an epoch.
    fn step(&self, epoch: usize, dts: i64, output: i64) -> i64 {
        let offset = self.epoch(epoch).map_or(0, |epoch| epoch.offset);
        apart(dts.wrapping_add(offset), output)
    }

    /// Returns the known epoch that the next unit of a track belongs to, if there is one.
    fn fitting(
        &self,
        own: Position,
        other: Option<Position>,
        dts: i64,
        arrived: Option<Duration>,
    ) -> Option<usize> {
        let step = self.step(own.epoch, dts, own.output);
        if (-MAX_BACK..=NEXT).contains(&step) {
            let healed = other.filter(|other| self.is_torn_from(own, *other, dts, step));
            return Some(healed.map_or(own.epoch, |other| other.epoch));
        }
        if let Some(epoch) = self.elsewhere(own, dts, NEXT) {
            return Some(epoch);
        }
        if let Some(other) = other {
            if other.epoch == own.epoch {
                // The other track has shown that the clock got this far.
                let shown = other.output.saturating_sub(own.output).saturating_add(MAX_STEP);
                if (0..=shown).contains(&step) {
                    return Some(own.epoch);
                }
            } else if self.is_newer(other.epoch, own.epoch)
                && apart(dts, other.input).abs() <= MAX_LAG
                && self.step(other.epoch, dts, own.output) >= -MAX_LAG
            {
                return Some(other.epoch);
            }
        }
        let most = plausible_step(own.arrived, arrived);
        if (0..=most).contains(&step) {
            return Some(own.epoch);
        }
        self.elsewhere(own, dts, most)
    }

    /// Returns another recently used epoch that would place a unit at most `most` after its track's last one.
    fn elsewhere(&self, own: Position, dts: i64, most: i64) -> Option<usize> {
        let used = |index: &usize| self.epoch(*index).map_or(0, |epoch| epoch.used);
        let fits = |index: &usize| {
            // A newer epoch means that the other track has gone ahead; an older one is only returned to after
            // a wrong timestamp.
            let back = if self.is_newer(*index, own.epoch) { MAX_LAG } else { MAX_BACK };
            *index != own.epoch
                && self.epoch(*index).is_some_and(|epoch| self.mapped - epoch.used <= MAX_ASIDE)
                && (-back..=most).contains(&self.step(*index, dts, own.output))
        };
        (0..EPOCHS).filter(fits).max_by_key(used)
    }

    /// Returns the epoch for the first unit of a track, if it fits one that the other track uses.
    fn joining(&self, other: Position, dts: i64, arrived: Option<Duration>) -> Option<usize> {
        let most = plausible_step(other.arrived, arrived).max(MAX_UNTIMED_STEP);
        let fits = |epoch: &usize| (-MAX_UNTIMED_STEP..=most).contains(&self.step(*epoch, dts, other.output));
        let known = (0..EPOCHS).filter(|epoch| self.epoch(*epoch).is_some());
        known.filter(fits).max_by_key(|epoch| *epoch == other.epoch)
    }

    /// Whether the tracks share one clock in the input but have two in the output, and this track has to
    /// follow.
    fn is_torn_from(&self, own: Position, other: Position, dts: i64, step: i64) -> bool {
        if own.epoch == other.epoch || apart(dts, other.input).abs() > MAX_LAG {
            return false;
        }
        let newer = if self.is_newer(own.epoch, other.epoch) { own } else { other };
        let since = self.epoch(newer.epoch).map_or(0, |epoch| newer.output.saturating_sub(epoch.began_at));
        since > MAX_LAG && self.step(other.epoch, dts, own.output) > step
    }

    fn is_newer(&self, one: usize, than: usize) -> bool {
        let begun = |index| self.epoch(index).map_or(0, |epoch| epoch.begun);
        begun(one) > begun(than)
    }

    /// Begins an epoch that places the unit one step after the previous one, replacing an epoch that no track
    /// uses. The very first epoch takes the input's timestamps as they are.
    fn begin_epoch(
        &mut self,
        own: Option<Position>,
        other: Option<Position>,
        step: i64,
        dts: i64,
        arrived: Option<Duration>,
    ) -> (usize, bool) {
        let held = |index: usize| [own, other].iter().flatten().any(|track| track.epoch == index);
        let used = |index: &usize| self.epoch(*index).map_or(0, |epoch| epoch.used);
        let index = (0..EPOCHS).filter(|index| !held(*index)).min_by_key(used).unwrap_or(0);
        let last = match (own, other) {
            // If this track was silent, the other one shows how much time has passed. If it was not, the
            // other one is only ahead in the order of arrival.
            (Some(own), Some(other)) if was_silent(own, other, arrived) => Some(own.output.max(other.output)),
            (own, other) => own.or(other).map(|last| last.output),
        };
        let began_at = last.map_or(dts, |last| last.saturating_add(step));
        if let Some(epoch) = self.epochs.get_mut(index) {
            let offset = began_at.wrapping_sub(dts);
            *epoch = Some(Epoch { offset, began_at, begun: self.mapped, used: self.mapped });
        }
        self.jumps += u64::from(last.is_some());
        (index, last.is_some())
    }
}

/// The signed distance from `from` to `to`, for timestamps that wrap at 33 bits.
const fn apart(to: i64, from: i64) -> i64 {
    let ahead = to.wrapping_sub(from) & (WRAP - 1);
    if ahead >= WRAP / 2 { ahead - WRAP } else { ahead }
}

fn since(last: Option<Duration>, now: Option<Duration>) -> Option<i64> {
    Some(Ticks::from(now?.saturating_sub(last?)).get())
}

/// How far a clock may have advanced between two arrivals, the first of which may have been late.
fn plausible_step(last: Option<Duration>, now: Option<Duration>) -> i64 {
    since(last, now).map_or(MAX_UNTIMED_STEP, |passed| {
        passed.saturating_add(passed.min(MAX_LAG)).saturating_add(MAX_STEP)
    })
}

fn was_silent(own: Position, other: Position, arrived: Option<Duration>) -> bool {
    match since(own.arrived, arrived) {
        Some(passed) => passed > MAX_STEP,
        None => other.output.saturating_sub(own.output) > MAX_LAG,
    }
}
