//! The owner of a session's timestamps: maps those of the input to ones that never jump back and never
//! leave a hole that the input did not have, video and audio alike. Unwrapping is in `clock`; pacing is
//! for others.

use std::time::Duration;

use cutrickle_media::{Ticks, Timestamp, TrackKind};

use crate::clock::{TICKS_PER_SECOND, WRAP};

/// A unit may lie this far before its track's last one; further back is a new clock.
const MAX_BACK: i64 = TICKS_PER_SECOND / 2;
/// A unit that lies no further than this after its track's last one is simply the next.
const NEXT: i64 = TICKS_PER_SECOND / 5;
/// A unit may lie this far after its track's last one without anything that explains it.
const MAX_STEP: i64 = TICKS_PER_SECOND;
/// The same where nobody says when units arrive.
const MAX_UNTIMED_STEP: i64 = 10 * TICKS_PER_SECOND;
/// Video and audio are not interleaved by time: this is how far apart units of the same moment may come.
const MAX_LAG: i64 = 3 * TICKS_PER_SECOND;
/// No picture is shown later than this after it was decoded; what says so has a damaged stamp.
const MAX_REORDERING: i64 = 10 * TICKS_PER_SECOND;
/// One for each track, and one for the clock that a wrong stamp seems to begin.
const EPOCHS: usize = 3;
/// How many units after its last one an epoch may still turn out to go on after a wrong stamp.
const MAX_ASIDE: u64 = 64;

/// A unit's place in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When to present it; never before `dts`.
    pub pts: Timestamp,
    /// When to decode it; later than that of the unit before on the same track.
    pub dts: Timestamp,
    /// Whether the input's clock jumped here, and a new one begins with this unit.
    pub jumped: bool,
}

/// A span of input whose stamps belong to one clock.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// What is added to the input's stamps, modulo the period of 33 bits.
    offset: i64,
    /// Where in the output it began.
    began_at: i64,
    /// When it began and was last used, in units mapped.
    begun: u64,
    used: u64,
}

/// Where a track has got to.
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
/// The output begins as the input does, so that stamps stay comparable until the first jump.
///
/// **Pauses and jumps.** A track that goes on more than a second after its last unit has paused, if the
/// other track shows that the clock went on, or the time of arrival does
/// ([`map_arrived`](Self::map_arrived)): the pause is kept, however long. Anything else, and a unit more
/// than 0.5 s before its track's last one, is a jump and begins a new epoch: it is put right behind what
/// came before, and the epoch's offset is kept. The other track takes the same offset when it gets there, so
/// video and audio stay together; until then its late units are mapped as before, and so are the units
/// after a single wrong stamp.
///
/// **When that was wrong**, stamps of both tracks lie beside each other in the input, but belong to
/// different epochs. After three seconds of it the track with the smaller offset takes the other's.
///
/// A unit that goes back by 0.5 s or less is put one tick behind the last one: every unit of the input
/// comes out, and decoding times strictly increase.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    epochs: [Option<Epoch>; EPOCHS],
    tracks: [Option<Position>; 2],
    mapped: u64,
    jumps: u64,
}

impl Timeline {
    /// A timeline whose output will begin as the input does.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the input's clock has jumped.
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Places the next unit of a track when nobody knows when it arrived, as with a file. A pause of both tracks is
    /// kept up to 10 s; a longer one is a jump.
    pub fn map(&mut self, track: TrackKind, pts: Timestamp, dts: Timestamp) -> Stamp {
        self.place(track, pts.ticks(), dts.ticks(), None)
    }

    /// Places the next unit of a track, which arrived at `arrived` of any clock that never goes back.
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

    /// How far after `output` a unit would come to lie in an epoch.
    fn step(&self, epoch: usize, dts: i64, output: i64) -> i64 {
        let offset = self.epoch(epoch).map_or(0, |epoch| epoch.offset);
        apart(dts.wrapping_add(offset), output)
    }

    /// The epoch that the next unit of a track belongs to, if it is one of those that are known.
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
                // The other track has shown that the clock got there.
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

    /// Another epoch of late in which a unit would lie up to `most` after its track's last one.
    fn elsewhere(&self, own: Position, dts: i64, most: i64) -> Option<usize> {
        let used = |index: &usize| self.epoch(*index).map_or(0, |epoch| epoch.used);
        let fits = |index: &usize| {
            // Into a newer epoch the other track has gone ahead; into an older one leads only the way back
            // from a wrong stamp.
            let back = if self.is_newer(*index, own.epoch) { MAX_LAG } else { MAX_BACK };
            *index != own.epoch
                && self.epoch(*index).is_some_and(|epoch| self.mapped - epoch.used <= MAX_ASIDE)
                && (-back..=most).contains(&self.step(*index, dts, own.output))
        };
        (0..EPOCHS).filter(fits).max_by_key(used)
    }

    /// The epoch that the first unit of a track belongs to, if it is the other track's.
    fn joining(&self, other: Position, dts: i64, arrived: Option<Duration>) -> Option<usize> {
        let most = plausible_step(other.arrived, arrived).max(MAX_UNTIMED_STEP);
        let fits = |epoch: &usize| (-MAX_UNTIMED_STEP..=most).contains(&self.step(*epoch, dts, other.output));
        let known = (0..EPOCHS).filter(|epoch| self.epoch(*epoch).is_some());
        known.filter(fits).max_by_key(|epoch| *epoch == other.epoch)
    }

    /// Whether the tracks have one clock in the input and two in the output, and it is for this one to follow.
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

    /// Begins an epoch in which the unit lies one step behind what came before, in place of one that no track
    /// is in. The very first one takes the input as it is.
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
            // The other track tells how far the time has got that this one was silent in. Of a track that was
            // not, it is only ahead in the order of arrival.
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

/// The way from `from` to `to`, of stamps whose period is that of 33 bits.
const fn apart(to: i64, from: i64) -> i64 {
    let ahead = to.wrapping_sub(from) & (WRAP - 1);
    if ahead >= WRAP / 2 { ahead - WRAP } else { ahead }
}

fn since(last: Option<Duration>, now: Option<Duration>) -> Option<i64> {
    Some(Ticks::from(now?.saturating_sub(last?)).get())
}

/// How far a clock may have got between two arrivals, of which the first may have been late.
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
