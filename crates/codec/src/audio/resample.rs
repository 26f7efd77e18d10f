//! Converts a stream of samples from one rate to another with rubato's FFT resampler.
//!
//! The filter's delay is removed at the start and made up for at the end, so the first output sample has the
//! time of the first input sample. Timestamps are left to the caller.

use std::fmt;

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use crate::{Error, Result};

/// Other rates are rejected, because the filter's memory grows with the rate.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// The approximate number of blocks per second. Up to two blocks are held back, and from 16 kHz upwards the
/// filter keeps more than 90 % of the band.
const BLOCKS_PER_SECOND: u32 = 100;

/// 12 dB above full scale; anything louder is not audio.
const LOUDEST: f32 = 4.0;

/// Makes any sample safe for the filters: a NaN would stay in them for ever (or make rubato panic), and so
/// would a value large enough to overflow a sum.
pub(super) fn bounded(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-LOUDEST, LOUDEST) }
}

/// A running conversion. Rates whose quotient has a large denominator (44,101 to 48,000) need large blocks,
/// which hold back up to a second.
pub struct Resampler {
    fft: Fft<f32>,
    from: u32,
    to: u32,
    /// Samples that do not yet fill a block, one row per channel.
    waiting: Vec<Vec<f32>>,
    /// One block of output, one row per channel.
    block: Vec<Vec<f32>>,
    /// Samples still to skip at the start, which are only the filter's delay.
    skip: usize,
    taken: u64,
    given: u64,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Resampler {
    /// Creates a conversion of `channels` rows between two rates in Hz, or `None` if the rates are equal.
    ///
    /// # Errors
    /// Fails for a rate outside 1,000 to 384,000 Hz, or for no channels.
    pub fn between(from: u32, to: u32, channels: usize) -> Result<Option<Self>> {
        if !RATES.contains(&from) || !RATES.contains(&to) || channels == 0 {
            return Err(Error::unsupported(format!("sound of {channels} channels from {from} to {to} Hz")));
        }
        if from == to {
            return Ok(None);
        }
        let wanted = from.div_ceil(BLOCKS_PER_SECOND) as usize;
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            wanted,
            1,
            channels,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|e| Error::failed(format!("resampler from {from} to {to} Hz")).because(e))?;
        Ok(Some(Self {
            from,
            to,
            waiting: vec![Vec::new(); channels],
            block: vec![vec![0.0; fft.output_frames_max()]; channels],
            skip: fft.output_delay(),
            taken: 0,
            given: 0,
            fft,
        }))
    }

    /// Takes one row per channel, all of equal length, and appends the finished samples to the rows of `out`.
    ///
    /// # Errors
    /// Fails if the number of rows differs from that at creation, or the rows have unequal length; nothing is
    /// consumed then.
    pub fn process(&mut self, rows: &[Vec<f32>], out: &mut [Vec<f32>]) -> Result<()> {
        let length = rows.first().map_or(0, Vec::len);
        if rows.len() != self.waiting.len()
            || out.len() != self.waiting.len()
            || rows.iter().any(|row| row.len() != length)
        {
            return Err(Error::failed(format!("{} equal rows of samples expected", self.waiting.len())));
        }
        for (waiting, row) in self.waiting.iter_mut().zip(rows) {
            waiting.extend(row.iter().copied().map(bounded));
        }
        self.taken += length as u64;
        self.run(out)
    }

    /// Appends the remaining samples, so that the total duration equals that of the input to the nearest
    /// sample. The next `process` begins a new stretch.
    ///
    /// # Errors
    /// Fails if the number of rows differs from that at creation.
    pub fn finish(&mut self, out: &mut [Vec<f32>]) -> Result<()> {
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let whole = (self.taken.saturating_mul(to) + from / 2) / from;
        let silence = vec![vec![0.0; self.fft.input_frames_next()]; self.waiting.len()];
        while self.given < whole {
            self.process(&silence, out)?;
        }
        let surplus = usize::try_from(self.given - whole).unwrap_or(usize::MAX);
        for row in out {
            row.truncate(row.len().saturating_sub(surplus));
        }
        self.fft.reset();
        self.waiting.iter_mut().for_each(Vec::clear);
        (self.skip, self.taken, self.given) = (self.fft.output_delay(), 0, 0);
        Ok(())
    }

    /// Converts all complete blocks that are waiting.
    fn run(&mut self, out: &mut [Vec<f32>]) -> Result<()> {
        let failed = |from: u32, to: u32| move || Error::failed(format!("resampling from {from} to {to} Hz"));
        let failed = failed(self.from, self.to);
        let channels = self.waiting.len();
        let available = self.waiting.first().map_or(0, Vec::len);
        let mut at = 0;
        while available - at >= self.fft.input_frames_next() {
            let frames = self.block.first().map_or(0, Vec::len);
            let input = SequentialSliceOfVecs::new(self.waiting.as_slice(), channels, available)
                .map_err(|e| failed().because(e))?;
            let mut output = SequentialSliceOfVecs::new_mut(self.block.as_mut_slice(), channels, frames)
                .map_err(|e| failed().because(e))?;
            let (read, written) = self
                .fft
                .process_into_buffer(&input, &mut output, Some(&Indexing::new().input_offset(at)))
                .map_err(|e| failed().because(e))?;
            at += read;
            let skip = self.skip.min(written);
            self.skip -= skip;
            for (row, block) in out.iter_mut().zip(&self.block) {
                row.extend_from_slice(block.get(skip..written).unwrap_or_default());
            }
            self.given += (written - skip) as u64;
        }
        for row in &mut self.waiting {
            row.drain(..at);
        }
        Ok(())
    }
}
