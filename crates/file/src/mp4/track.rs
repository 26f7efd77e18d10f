//! A track that is being written: what its tables will say (ISO/IEC 14496-12, 8.5 to 8.7). The samples themselves are not
//! kept.

use cutrickle_error::BoxError;
use cutrickle_media::{Codec, Ticks, Timestamp};
use mp4_atom::{
    Co64, Dinf, Dref, Edts, Elst, ElstEntry, FourCC, Hdlr, Mdhd, Mdia, Minf, Smhd, Stbl, Stsc, StscEntry,
    Stsd, Stss, Stsz, StszSamples, Stts, Tkhd, Trak, Url, Vmhd,
};

use super::timing::Timing;

/// Samples that lie in one chunk at most.
const MAX_CHUNK: u32 = 256;

/// One track.
#[derive(Debug)]
pub(super) struct Track {
    codec: Codec,
    timing: Timing,
    descriptions: Vec<mp4_atom::Codec>,
    /// The number of the description in force, from 1.
    description: u32,
    sizes: Vec<u32>,
    /// Numbers of samples, from 1.
    keyframes: Vec<u32>,
    /// Where each chunk begins, and runs of chunks that are alike.
    chunks: Vec<u64>,
    runs: Vec<StscEntry>,
    open: Option<Chunk>,
}

/// Samples of one description that lie behind one another.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    end: u64,
    samples: u32,
    description: u32,
}

/// A sample that was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    /// How long it lasts, in the track's time scale, if it says so.
    pub(super) lasts: Option<u32>,
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) keyframe: bool,
}

impl Track {
    pub(super) fn new(codec: Codec, scale: u32) -> Self {
        Self {
            codec,
            timing: Timing::new(scale),
            descriptions: Vec::new(),
            description: 0,
            sizes: Vec::new(),
            keyframes: Vec::new(),
            chunks: Vec::new(),
            runs: Vec::new(),
            open: None,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn scale(&self) -> u32 {
        self.timing.scale()
    }

    /// When the first sample begins.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.timing.first()
    }

    /// The description of the samples from here on.
    pub(super) fn describe(&mut self, description: mp4_atom::Codec) -> Result<(), BoxError> {
        let known = self.descriptions.iter().position(|known| *known == description);
        let index = known.unwrap_or_else(|| {
            self.descriptions.push(description);
            self.descriptions.len() - 1
        });
        self.description = u32::try_from(index + 1)?;
        Ok(())
    }

    /// Whether samples have a description.
    pub(super) fn is_described(&self) -> bool {
        self.description > 0
    }

    /// Notes a sample.
    pub(super) fn add(&mut self, sample: Sample) -> Result<(), BoxError> {
        let Sample { at, lasts, offset, size, keyframe } = sample;
        self.timing.add(at, lasts);
        self.sizes.push(size);
        if keyframe {
            self.keyframes.push(u32::try_from(self.sizes.len())?);
        }
        let description = self.description;
        let end = offset + u64::from(size);
        match &mut self.open {
            Some(chunk)
                if chunk.end == offset && chunk.description == description && chunk.samples < MAX_CHUNK =>
            {
                chunk.samples += 1;
                chunk.end = end;
            }
            _ => {
                self.close_chunk()?;
                self.chunks.push(offset);
                self.open = Some(Chunk { end, samples: 1, description });
            }
        }
        Ok(())
    }

    fn close_chunk(&mut self) -> Result<(), BoxError> {
        let Some(Chunk { samples, description, .. }) = self.open.take() else { return Ok(()) };
        let alike =
            |run: &StscEntry| run.samples_per_chunk == samples && run.sample_description_index == description;
        if !self.runs.last().is_some_and(alike) {
            self.runs.push(StscEntry {
                first_chunk: u32::try_from(self.chunks.len())?,
                samples_per_chunk: samples,
                sample_description_index: description,
            });
        }
        Ok(())
    }

    /// The box of the track, as number `id` of a movie that begins at `begins` and whose time scale is that of timestamps;
    /// and how long the movie is for its sake.
    pub(super) fn finish(mut self, id: u32, begins: Timestamp) -> Result<(Trak, u64), BoxError> {
        self.close_chunk()?;
        let (durations, duration) = self.timing.finish();
        let ticks = u128::from(duration) * u128::from(Ticks::PER_SECOND.get().unsigned_abs())
            / u128::from(self.timing.scale());
        let plays = u64::try_from(ticks)?;
        let late = self.first().map_or(Ticks::ZERO, |first| first - begins);
        let late = u64::try_from(late.get()).unwrap_or_default();
        let is_video = self.codec.is_video();
        let visual = self.descriptions.first().and_then(mp4_atom::Codec::visual);
        let (width, height) = visual.map_or((0, 0), |visual| (visual.width, visual.height));
        let tkhd = Tkhd {
            track_id: id,
            duration: late.saturating_add(plays),
            enabled: true,
            in_movie: true,
            volume: u8::from(!is_video).into(),
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        };
        let mdhd =
            Mdhd { timescale: self.timing.scale(), duration, language: "und".to_owned(), ..Mdhd::default() };
        let (handler, name) = if is_video { (b"vide", "Video") } else { (b"soun", "Audio") };
        let hdlr = Hdlr { handler: FourCC::new(handler), name: name.to_owned() };
        let stbl = Stbl {
            stsd: Stsd { codecs: self.descriptions },
            stts: Stts { entries: durations },
            // Without the table every sample is one to start with.
            stss: is_video.then_some(Stss { entries: self.keyframes }),
            stsc: Stsc { entries: self.runs },
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes } },
            co64: Some(Co64 { entries: self.chunks }),
            ..Stbl::default()
        };
        let minf = Minf {
            vmhd: is_video.then(Vmhd::default),
            smhd: (!is_video).then(Smhd::default),
            dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
            stbl,
            ..Minf::default()
        };
        let edts = (late > 0).then(|| edits(late, plays));
        let trak = Trak { tkhd, edts, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() };
        Ok((trak, late.saturating_add(plays)))
    }
}

/// Nothing for `late`, and then all of the track.
fn edits(late: u64, plays: u64) -> Edts {
    let edit =
        |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate: 1.into() };
    Edts { elst: Some(Elst { entries: vec![edit(late, None), edit(plays, Some(0))] }) }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Avc1, Avcc};

    use super::super::sample_table::samples;
    use super::*;

    #[test]
    fn tables_tell_what_was_added() {
        let mut track = Track::new(Codec::H264, 90_000);
        let described = |level| Avc1 {
            avcc: Avcc { avc_level_indication: level, length_size: 4, ..Avcc::default() },
            ..Avc1::default()
        };
        let mut wanted = Vec::new();
        let mut offset = 40;
        for n in 0..2_000_u32 {
            match n {
                0 | 1_200 => track.describe(described(30).into()).unwrap(),
                900 => track.describe(described(31).into()).unwrap(),
                _ => {}
            }
            // Another track's samples lie between these every now and then.
            offset += if n % 7 == 0 && n < 700 { 1_000 } else { 0 };
            let sample = Sample {
                at: Timestamp::from_ticks(i64::from(n) * 3_000),
                lasts: None,
                offset,
                size: n + 1,
                keyframe: n % 30 == 0,
            };
            track.add(sample).unwrap();
            wanted.push((
                offset,
                n + 1,
                i64::from(n) * 3_000,
                n % 30 == 0,
                1 + u32::from((900..1_200).contains(&n)),
            ));
            offset += u64::from(n + 1);
        }
        let (trak, plays) = track.finish(1, Timestamp::ZERO).unwrap();
        assert_eq!(plays, 2_000 * 3_000);
        assert_eq!(trak.edts, None);
        let told = samples(&trak.mdia.minf.stbl);
        let told: Vec<_> = told
            .iter()
            .map(|sample| (sample.offset, sample.size, sample.dts, sample.keyframe, sample.description))
            .collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_track_that_begins_later_than_the_movie_waits() {
        let mut track = Track::new(Codec::AAC, 48_000);
        let at = Timestamp::from_ticks(9_000);
        track.add(Sample { at, lasts: Some(1_024), offset: 0, size: 3, keyframe: true }).unwrap();
        let (trak, plays) = track.finish(2, Timestamp::from_ticks(1_000)).unwrap();
        assert_eq!(plays, 8_000 + 1_920);
        let edits = trak.edts.unwrap().elst.unwrap().entries;
        let edits: Vec<_> = edits.iter().map(|edit| (edit.segment_duration, edit.media_time)).collect();
        assert_eq!(edits, [(8_000, None), (1_920, Some(0))]);
        assert_eq!(trak.mdia.minf.stbl.stss, None);
    }
}
