//! Splits samples of any rate and channel count into an encoder's frames, and gives each its presentation
//! time.
//!
//! Two clocks count samples instead of adding up times, so that rounding errors never accumulate: one for the
//! input, which tells a gap from a continuation, and one for the frames.

use cutrickle_media::{Ticks, Timestamp};

use super::Samples;
use super::mix::mix;
use super::resample::{Resampler, bounded};
use crate::{Error, Result};

/// How far a source's timestamp may be off and still continue the previous samples.
const GAP: Ticks = Ticks::from_millis(20);

/// Receives a frame's samples and timestamp.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[f32], Timestamp) -> Result<()>;

/// The format that an encoder takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub sample_rate: u32,
    /// One or two.
    pub channels: usize,
    /// Samples per channel in one frame.
    pub frame: usize,
    /// Samples that a decoder outputs before the first one of the input.
    pub lookahead: usize,
}

pub(super) struct Framer {
    shape: Shape,
    /// `None` until the first sample, and after the end of a run.
    input: Option<Clock>,
    output: Clock,
    resampler: Option<Resampler>,
    mixed: Vec<Vec<f32>>,
    resampled: Vec<Vec<f32>>,
    /// Interleaved samples that do not yet fill a frame.
    pending: Vec<f32>,
}

/// Counts samples from a start time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Timestamp,
    rate: u32,
    samples: i64,
}

impl Clock {
    /// The time of the sample `offset` samples after those counted, to the nearest tick.
    fn at(&self, offset: i64) -> Timestamp {
        let rate = i64::from(self.rate);
        let ticks = (self.samples.saturating_add(offset).saturating_mul(90_000).saturating_add(rate / 2))
            .div_euclid(rate);
        self.start + Ticks::new(ticks)
    }

    fn count(&mut self, samples: usize) {
        self.samples = self.samples.saturating_add(i64::try_from(samples).unwrap_or(i64::MAX));
    }
}

impl Framer {
    pub fn new(shape: Shape) -> Self {
        Self {
            input: None,
            output: Clock { start: Timestamp::ZERO, rate: shape.sample_rate, samples: 0 },
            resampler: None,
            mixed: vec![Vec::new(); shape.channels],
            resampled: vec![Vec::new(); shape.channels],
            pending: Vec::new(),
            shape,
        }
    }

    /// Takes samples that begin at `timestamp` and passes every full frame to `each`, interleaved.
    ///
    /// Samples more than 20 ms away from where the previous ones ended start a new run. Before a gap, the
    /// last frame is padded with silence; before a step back, it is dropped, because its time comes again.
    pub fn push(&mut self, samples: &Samples, timestamp: Timestamp, each: Sink<'_>) -> Result<()> {
        let length = samples.channels.first().map_or(0, Vec::len);
        if samples.channels.iter().any(|row| row.len() != length) {
            return Err(Error::failed(format!("channels of unequal length at {timestamp}")));
        }
        if length == 0 {
            return Ok(());
        }
        mix(&samples.channels, &mut self.mixed)?;
        match self.input {
            Some(input) if input.at(0).distance(timestamp) <= GAP => {
                if input.rate != samples.sample_rate {
                    self.drain_resampler()?;
                    self.open_input(input.at(0), samples.sample_rate)?;
                }
            }
            before => {
                if before.is_some_and(|input| timestamp < input.at(0)) {
                    self.pending.clear();
                } else {
                    self.finish(each)?;
                }
                self.open_input(timestamp, samples.sample_rate)?;
                self.output = Clock { start: timestamp, rate: self.shape.sample_rate, samples: 0 };
            }
        }
        if let Some(input) = &mut self.input {
            input.count(length);
        }
        match &mut self.resampler {
            None => interleave(&self.mixed, &mut self.pending),
            Some(resampler) => {
                resampler.process(&self.mixed, &mut self.resampled)?;
                self.take_resampled();
            }
        }
        self.cut(each)
    }

    /// Emits the rest of the run, padded with silence. The encoder's lookahead is fed with silence too,
    /// because its last samples would not come out otherwise.
    pub fn finish(&mut self, each: Sink<'_>) -> Result<()> {
        if self.input.take().is_none() {
            return Ok(());
        }
        self.drain_resampler()?;
        let whole = self.shape.frame * self.shape.channels;
        let length = self.pending.len() + self.shape.lookahead * self.shape.channels;
        self.pending.resize(length.next_multiple_of(whole), 0.0);
        let result = self.cut(each);
        // Samples left over after an error do not belong to the next run.
        self.pending.clear();
        result
    }

    fn open_input(&mut self, start: Timestamp, rate: u32) -> Result<()> {
        self.input = None;
        self.resampler = Resampler::between(rate, self.shape.sample_rate, self.shape.channels)?;
        self.input = Some(Clock { start, rate, samples: 0 });
        Ok(())
    }

    fn drain_resampler(&mut self) -> Result<()> {
        if let Some(mut resampler) = self.resampler.take() {
            resampler.finish(&mut self.resampled)?;
            self.take_resampled();
        }
        Ok(())
    }

    fn take_resampled(&mut self) {
        interleave(&self.resampled, &mut self.pending);
        self.resampled.iter_mut().for_each(Vec::clear);
    }

    fn cut(&mut self, each: Sink<'_>) -> Result<()> {
        let whole = self.shape.frame * self.shape.channels;
        let lookahead = i64::try_from(self.shape.lookahead).unwrap_or(0);
        let mut done = 0;
        let mut result = Ok(());
        for frame in self.pending.chunks_exact(whole) {
            let timestamp = self.output.at(-lookahead);
            self.output.count(self.shape.frame);
            done += whole;
            result = each(frame, timestamp);
            if result.is_err() {
                break;
            }
        }
        self.pending.drain(..done);
        result
    }
}

/// Appends one or two rows, interleaved.
fn interleave(rows: &[Vec<f32>], out: &mut Vec<f32>) {
    match rows {
        [row] => out.extend(row.iter().copied().map(bounded)),
        [left, right] => {
            out.extend(left.iter().zip(right).flat_map(|(&l, &r)| [bounded(l), bounded(r)]));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { sample_rate: 48_000, channels: 1, frame: 960, lookahead: 312 };

    fn silence(sample_rate: u32, length: usize) -> Samples {
        Samples { sample_rate, channels: vec![vec![0.0; length]] }
    }

    /// Pushes stretches of (rate, length, timestamp), then finishes; returns the timestamps of the frames.
    fn timestamps(stretches: impl IntoIterator<Item = (u32, usize, i64)>) -> Vec<i64> {
        let mut framer = Framer::new(SHAPE);
        let mut times = Vec::new();
        let mut each = |_: &[f32], timestamp: Timestamp| {
            times.push(timestamp.ticks());
            Ok(())
        };
        for (rate, length, timestamp) in stretches {
            framer.push(&silence(rate, length), Timestamp::from_ticks(timestamp), &mut each).unwrap();
        }
        framer.finish(&mut each).unwrap();
        times
    }

    #[test]
    fn ten_minutes_of_rounded_timestamps_do_not_drift() {
        // An AAC track at 44.1 kHz with a muxer's timestamps: each frame's start is rounded down to a
        // millisecond.
        let frames = 44_100 * 600 / 1024;
        let times = timestamps((0..frames).map(|n| (44_100, 1024, n * 1024 * 1000 / 44_100 * 90)));
        for (n, &time) in times.iter().enumerate() {
            assert_eq!(time, n as i64 * 1_800 - 585, "frame {n}");
        }
        assert!(times.len() as i64 >= frames * 1024 * 50 / 44_100);
    }

    #[test]
    fn a_gap_is_filled_up_and_restarts_the_timestamps() {
        // 30 ms of samples, then a gap of 25 ms.
        let times = timestamps([(48_000, 1440, 0), (48_000, 960, 2_700 + 2_250)]);
        assert_eq!(times, [-585, 1_215, 4_950 - 585, 6_750 - 585]);
    }

    #[test]
    fn a_step_back_drops_the_unfinished_frame() {
        let times = timestamps([(48_000, 1440, 900_000), (48_000, 960, 0)]);
        assert_eq!(times, [900_000 - 585, -585, 1_215]);
    }

    #[test]
    fn a_change_of_rate_continues_the_timestamps() {
        let times = timestamps([(48_000, 1440, 0), (44_100, 4410, 2_700), (48_000, 1440, 11_700)]);
        let expected: Vec<i64> = (0..times.len() as i64).map(|n| n * 1_800 - 585).collect();
        assert_eq!(times, expected);
        assert_eq!(times.len(), 9);
    }

    #[test]
    fn timestamps_at_the_ends_of_the_range_do_not_overflow() {
        timestamps([(48_000, 960, i64::MIN), (48_000, 960, i64::MAX), (48_000, 960, i64::MIN)]);
    }

    #[test]
    fn what_is_no_sound_never_reaches_the_encoder() {
        let mut framer = Framer::new(SHAPE);
        let mut samples = silence(48_000, 960);
        samples.channels[0][3] = f32::NAN;
        samples.channels[0][4] = f32::INFINITY;
        let mut each = |frame: &[f32], _| {
            assert_eq!(frame[3], 0.0);
            assert!(frame.iter().all(|&s| s.abs() <= 4.0));
            Ok(())
        };
        framer.push(&samples, Timestamp::ZERO, &mut each).unwrap();
    }

    #[test]
    fn channels_of_unequal_length_are_refused() {
        let samples = Samples { sample_rate: 48_000, channels: vec![vec![0.0; 2], vec![0.0; 3]] };
        assert!(Framer::new(SHAPE).push(&samples, Timestamp::ZERO, &mut |_, _| Ok(())).is_err());
    }
}
