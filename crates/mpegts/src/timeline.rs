//! The owner of a session's timestamps: maps those of the input to ones that never jump back and never
//! leave a hole of hours, picture and sound alike. Unwrapping is in `clock`; pacing is for others.

use crate::clock::TICKS_PER_SECOND;
use crate::codec::TrackKind;

/// A unit may lie this far before its track's last one; further back is a new clock.
const BACK: i64 = TICKS_PER_SECOND / 2;
/// A unit may lie this far after its track's last one; further on is a new clock.
const AHEAD: i64 = 10 * TICKS_PER_SECOND;
/// Picture and sound are not interleaved by time: a track that follows the other one to its new clock may
/// lie this far behind what it said before.
const FOLLOW: i64 = 3 * TICKS_PER_SECOND;

/// A unit's place in the output, in ticks of 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When to present it; never before `dts`.
    pub pts: i64,
    /// When to decode it; later than that of the unit before on the same track.
    pub dts: i64,
    /// Whether the input's clock jumped here, and a new one begins with this unit.
    pub jumped: bool,
}

/// A span of input whose stamps belong to one clock.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// What is added to the input's stamps.
    offset: i64,
    /// When it began and was last used, in units mapped.
    begun: u64,
    used: u64,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    /// Which of the two epochs the track is in.
    epoch: usize,
    dts: i64,
    /// The last plausible distance between two units.
    step: i64,
}

/// Maps the input's timestamps to a continuous output.
///
/// The output begins as the input does, so that stamps stay comparable until the first jump. A unit that
/// lies more than 0.5 s before or more than 10 s after its track's last one begins a new epoch: it is put
/// right behind the last one, and the epoch's offset is kept. The other track takes the same offset when
/// it gets there, so that picture and sound stay together; until then, its late units are mapped as
/// before, and so are the units after a single wrong stamp. Two epochs are kept.
///
/// A unit that goes back by 0.5 s or less is put one tick behind the last one: every unit of the input
/// comes out, and decoding times strictly increase.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    epochs: [Option<Epoch>; 2],
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

    /// Places the next unit of a track; stamps in ticks of 90 kHz, unwrapped.
    pub fn map(&mut self, track: TrackKind, pts: i64, dts: i64) -> Stamp {
        self.mapped += 1;
        let index = match track {
            TrackKind::Video => 0,
            TrackKind::Audio => 1,
        };
        let [video, audio] = self.tracks;
        let (own, other) = if index == 0 { (video, audio) } else { (audio, video) };
        let step = own.map_or(if index == 0 { 3_000 } else { 1_920 }, |own| own.step);
        let (epoch, jumped) = match self.fitting(own, other, dts) {
            Some(epoch) => (epoch, false),
            None => self.begin_epoch(own.or(other), step, dts),
        };
        let offset = match self.epochs.get_mut(epoch) {
            Some(Some(used)) => {
                used.used = self.mapped;
                used.offset
            }
            _ => 0,
        };
        let wished = dts.saturating_add(offset);
        let placed = own.map_or(wished, |own| wished.max(own.dts.saturating_add(1)));
        let step = match own.map(|own| placed.saturating_sub(own.dts)) {
            Some(passed @ 90..=45_000) => passed,
            _ => step,
        };
        if let Some(position) = self.tracks.get_mut(index) {
            *position = Some(Position { epoch, dts: placed, step });
        }
        Stamp { pts: pts.saturating_add(offset).max(placed), dts: placed, jumped }
    }

    /// The epoch that a unit belongs to by where it would come to lie.
    fn fitting(&self, own: Option<Position>, other: Option<Position>, dts: i64) -> Option<usize> {
        let epoch_at = |index: usize| self.epochs.get(index).copied().flatten();
        let fits = |index: usize, last: i64, back: i64| {
            let offset = epoch_at(index)?.offset;
            let step = dts.saturating_add(offset).saturating_sub(last);
            (-back..=AHEAD).contains(&step).then_some(index)
        };
        match (own, other) {
            (Some(own), _) => {
                let elsewhere = 1 - own.epoch;
                let begun = |index| epoch_at(index).map_or(0, |epoch| epoch.begun);
                // Into a newer epoch the other track has gone ahead; into an older one leads only the way
                // back from a wrong stamp.
                let back = if begun(elsewhere) > begun(own.epoch) { FOLLOW } else { BACK };
                fits(own.epoch, own.dts, BACK).or_else(|| fits(elsewhere, own.dts, back))
            }
            (None, Some(other)) => {
                let elsewhere = 1 - other.epoch;
                fits(other.epoch, other.dts, AHEAD).or_else(|| fits(elsewhere, other.dts, AHEAD))
            }
            (None, None) => None,
        }
    }

    /// Begins an epoch in which the unit lies one step behind `last`, in place of the one used least
    /// recently. The very first one takes the input as it is.
    fn begin_epoch(&mut self, last: Option<Position>, step: i64, dts: i64) -> (usize, bool) {
        let used = |epoch: Option<Epoch>| epoch.map_or(0, |epoch| epoch.used);
        let [first, second] = self.epochs;
        let index = usize::from(used(second) < used(first));
        let offset = last.map_or(0, |last| last.dts.saturating_add(step).saturating_sub(dts));
        if let Some(epoch) = self.epochs.get_mut(index) {
            *epoch = Some(Epoch { offset, begun: self.mapped, used: self.mapped });
        }
        self.jumps += u64::from(last.is_some());
        (index, last.is_some())
    }
}
