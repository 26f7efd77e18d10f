//! Where a track's samples lie in the file and when they are due, from the tables that say so by runs (ISO/IEC 14496-12,
//! 8.6 and 8.7). Reads no file.

use mp4_atom::{Edts, Stbl, StszSamples};

/// More samples than four days of frames at 48 a second are a damaged table.
const MAX_SAMPLES: usize = 1 << 24;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its first byte in the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// When it is decoded, in the track's time scale. May be below 0, since edits take time away.
    pub(super) dts: i64,
    /// When it is presented.
    pub(super) pts: i64,
    /// Whether decoding can start with it.
    pub(super) keyframe: bool,
    /// The number of its description, from 1.
    pub(super) description: u32,
}

/// All samples of a track in the order of decoding. Tables that contradict each other give as many samples as all of
/// them tell of.
pub(super) fn samples(table: &Stbl) -> Vec<Sample> {
    let mut decoded = 0_i64;
    let times = runs(table.stts.entries.iter().map(|run| (run.sample_count, i64::from(run.sample_delta))));
    let times = times.map(|delta| {
        let dts = decoded;
        decoded = decoded.saturating_add(delta);
        dts
    });
    let shifts = table.ctts.iter().flat_map(|ctts| &ctts.entries);
    let shifts = runs(shifts.map(|run| (run.sample_count, run.sample_offset))).chain(std::iter::repeat(0));
    let mut keyframes = table.stss.as_ref().map(|stss| stss.entries.iter().copied().peekable());
    places(table)
        .zip(times)
        .zip(shifts)
        .zip(1_u32..)
        .map(|(((place, dts), shift), number)| {
            // Without the table every sample is one to start with.
            let keyframe = keyframes.as_mut().is_none_or(|keyframes| {
                while keyframes.next_if(|keyframe| *keyframe < number).is_some() {}
                keyframes.next_if_eq(&number).is_some()
            });
            let Place { offset, size, description } = place;
            Sample { offset, size, dts, pts: dts.saturating_add(shift), keyframe, description }
        })
        .take(MAX_SAMPLES)
        .collect()
}

/// The media time at which the presentation begins, in the track's time scale: what lies before is there for decoding
/// alone. Below 0 where the track begins later than others. Edits after the first that shows something are not followed.
pub(super) fn beginning(edits: Option<&Edts>, time_scale: u32, movie_time_scale: u32) -> i64 {
    let mut waits = 0_i64;
    for edit in edits.and_then(|edits| edits.elst.as_ref()).iter().flat_map(|list| &list.entries) {
        if let Some(time) = edit.media_time {
            return i64::try_from(time).unwrap_or(i64::MAX).saturating_sub(waits);
        }
        let ticks =
            u128::from(edit.segment_duration) * u128::from(time_scale) / u128::from(movie_time_scale.max(1));
        waits = waits.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX));
    }
    0_i64.saturating_sub(waits)
}

/// Each run's value as often as the run is long.
fn runs(runs: impl Iterator<Item = (u32, i64)>) -> impl Iterator<Item = i64> {
    runs.flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
}

/// What the tables of chunks tell of a sample.
struct Place {
    offset: u64,
    size: u32,
    description: u32,
}

/// Where each sample is.
fn places(table: &Stbl) -> impl Iterator<Item = Place> {
    let offsets: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(short), _) => short.entries.iter().copied().map(u64::from).collect(),
        (None, long) => long.iter().flat_map(|long| long.entries.iter().copied()).collect(),
    };
    let mut sizes: Box<dyn Iterator<Item = u32>> = match &table.stsz.samples {
        StszSamples::Identical { count, size } => Box::new(std::iter::repeat_n(*size, *count as usize)),
        StszSamples::Different { sizes } => Box::new(sizes.clone().into_iter()),
    };
    let chunks = table.stsc.entries.clone();
    let mut run = 0;
    offsets.into_iter().zip(1_u32..).flat_map(move |(mut at, chunk)| {
        while chunks.get(run + 1).is_some_and(|next| next.first_chunk <= chunk) {
            run += 1;
        }
        let (count, description) =
            chunks.get(run).map_or((0, 0), |run| (run.samples_per_chunk, run.sample_description_index));
        let mut places = Vec::new();
        for size in sizes.by_ref().take((count as usize).min(MAX_SAMPLES)) {
            places.push(Place { offset: at, size, description });
            at = at.saturating_add(u64::from(size));
        }
        places
    })
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Ctts, CttsEntry, Elst, ElstEntry, Stco, Stsc, StscEntry, Stss, Stsz, Stts, SttsEntry};

    use super::*;

    fn table() -> Stbl {
        let chunks = |first_chunk, samples_per_chunk| StscEntry {
            first_chunk,
            samples_per_chunk,
            sample_description_index: 1,
        };
        Stbl {
            stts: Stts {
                entries: vec![
                    SttsEntry { sample_count: 3, sample_delta: 10 },
                    SttsEntry { sample_count: 2, sample_delta: 20 },
                ],
            },
            ctts: Some(Ctts {
                entries: vec![
                    CttsEntry { sample_count: 1, sample_offset: 10 },
                    CttsEntry { sample_count: 4, sample_offset: -5 },
                ],
            }),
            stss: Some(Stss { entries: vec![1, 4] }),
            // One sample in the first chunk, two in each of the others.
            stsc: Stsc { entries: vec![chunks(1, 1), chunks(2, 2)] },
            stsz: Stsz { samples: StszSamples::Different { sizes: vec![5, 6, 7, 8, 9] } },
            stco: Some(Stco { entries: vec![100, 200, 300] }),
            ..Stbl::default()
        }
    }

    #[test]
    fn runs_are_told_sample_by_sample() {
        let sample =
            |offset, size, dts, pts, keyframe| Sample { offset, size, dts, pts, keyframe, description: 1 };
        let wanted = [
            sample(100, 5, 0, 10, true),
            sample(200, 6, 10, 5, false),
            sample(206, 7, 20, 15, false),
            sample(300, 8, 30, 25, true),
            sample(308, 9, 50, 45, false),
        ];
        assert_eq!(samples(&table()), wanted);
        let all_keyframes = samples(&Stbl { stss: None, ctts: None, ..table() });
        assert!(all_keyframes.iter().all(|sample| sample.keyframe && sample.pts == sample.dts));
    }

    #[test]
    fn tables_that_end_early_or_promise_too_much_are_taken_for_what_they_tell() {
        let short =
            Stbl { stts: Stts { entries: vec![SttsEntry { sample_count: 2, sample_delta: 1 }] }, ..table() };
        assert_eq!(samples(&short).len(), 2);
        let nowhere = Stbl { stco: None, ..table() };
        assert_eq!(samples(&nowhere), []);
        let many = StszSamples::Identical { count: u32::MAX, size: 0 };
        let endless = StscEntry { first_chunk: 1, samples_per_chunk: u32::MAX, sample_description_index: 1 };
        let damaged = Stbl { stsz: Stsz { samples: many }, stsc: Stsc { entries: vec![endless] }, ..table() };
        assert_eq!(samples(&damaged).len(), 5, "as many as have times");
    }

    #[test]
    fn an_edit_says_where_the_presentation_begins() {
        let edit =
            |segment_duration, media_time| ElstEntry { segment_duration, media_time, ..ElstEntry::default() };
        let edits = |entries| Edts { elst: Some(Elst { entries }) };
        assert_eq!(beginning(None, 90_000, 1_000), 0);
        assert_eq!(beginning(Some(&edits(vec![edit(5_000, Some(1_024))])), 48_000, 1_000), 1_024);
        // Half a second of nothing first.
        let late = edits(vec![edit(500, None), edit(5_000, Some(1_024))]);
        assert_eq!(beginning(Some(&late), 48_000, 1_000), 1_024 - 24_000);
        assert_eq!(beginning(Some(&edits(vec![edit(u64::MAX, None)])), u32::MAX, 0), -i64::MAX);
    }
}
