//! A reader that runs through the newest audio faster or slower than it comes, and jumps where it would run
//! out: to a place that sounds alike, and across a fade. After S. Roucos and A. Wilgus, "High quality
//! time-scale modification for speech" (synchronised overlap-add, 1985), with the change of rate in the
//! reader itself.

use std::collections::VecDeque;

/// Shifts the audio of all channels alike.
#[derive(Debug, Clone)]
pub(super) struct Shifter {
    rate: u32,
    /// The newest audio of each channel, oldest sample first; all of one length.
    recent: Vec<VecDeque<f32>>,
    /// How far behind the newest sample the reader is.
    delay: f64,
    /// The reader that is faded out, and the samples that its fade has left.
    leaving: Option<(f64, usize)>,
}

/// How near the reader may come to the newest sample, and how far it may fall behind, in seconds.
const NEAREST: f64 = 0.003;
const FARTHEST: f64 = 0.025;
/// How long a jump takes, and how much audio is compared for it.
const FADE: f64 = 0.004;

impl Shifter {
    pub(super) fn new(channels: usize, rate: u32) -> Self {
        // Both readers of a fade, and what is compared before the one that is farther back.
        let kept = ((FARTHEST + 3.0 * FADE) * f64::from(rate)).ceil() as usize + 8;
        Self {
            rate,
            recent: vec![VecDeque::from(vec![0.0; kept]); channels],
            delay: (NEAREST + FARTHEST) / 2.0 * f64::from(rate),
            leaving: None,
        }
    }

    pub(super) fn is_for(&self, channels: usize, rate: u32) -> bool {
        self.recent.len() == channels && self.rate == rate
    }

    /// As many samples as came, channel by channel, `ratio` times as high.
    pub(super) fn process(&mut self, rows: &[Vec<f32>], ratio: f64) -> Vec<f32> {
        let length = rows.first().map_or(0, Vec::len);
        let mut out = vec![0.0; rows.len() * length];
        let samples = |seconds: f64| seconds * f64::from(self.rate);
        let (nearest, farthest, fade) = (samples(NEAREST), samples(FARTHEST), samples(FADE) as usize);
        for at in 0..length {
            for (recent, row) in self.recent.iter_mut().zip(rows) {
                recent.pop_front();
                recent.push_back(row[at]);
            }
            // The reader goes on by `ratio` while the newest sample goes on by 1.
            self.delay += 1.0 - ratio;
            if let Some((delay, left)) = &mut self.leaving {
                *delay += 1.0 - ratio;
                *left -= 1;
                if *left == 0 {
                    self.leaving = None;
                }
            }
            // It must not run out before the fade ends, in which it comes nearer by as much.
            let reach = (ratio - 1.0).max(0.0) * fade as f64;
            if self.leaving.is_none() && (self.delay < nearest + reach || self.delay > farthest) {
                let jumped = self.alike(self.delay < nearest + reach, nearest + reach, farthest, fade);
                self.leaving = Some((self.delay, fade));
                self.delay = jumped;
            }
            for (channel, recent) in self.recent.iter().enumerate() {
                let mut sample = read(recent, self.delay);
                if let Some((delay, left)) = self.leaving {
                    let old = left as f32 / fade as f32;
                    sample = sample * (1.0 - old) + read(recent, delay) * old;
                }
                out[channel * length + at] = sample;
            }
        }
        out
    }

    /// The delay, between the two ends, at which the audio is most like that where the reader is: back from
    /// the near end, ahead from the far one. Going ahead leaves audio out: rather what is softer than the
    /// rest, so that a short sound between silence is heard.
    fn alike(&self, back: bool, nearest: f64, farthest: f64, compared: usize) -> f64 {
        let third = (farthest - nearest) / 3.0;
        let (from, to) =
            if back { (nearest + third, farthest) } else { (nearest, farthest - compared as f64) };
        let power = |delay: f64| -> f64 {
            self.recent.iter().map(|recent| f64::from(whole(recent, delay)).powi(2)).sum()
        };
        // How alike, -1 to 1.
        let correlation = |delay: f64| {
            let (mut product, mut powers) = (0.0f64, [1e-9f64; 2]);
            // Every other sample is enough to tell.
            for n in (0..compared).step_by(2) {
                for recent in &self.recent {
                    let here = f64::from(whole(recent, self.delay + n as f64));
                    let there = f64::from(whole(recent, delay + n as f64));
                    product += here * there;
                    powers[0] += here * here;
                    powers[1] += there * there;
                }
            }
            product / (powers[0] * powers[1]).sqrt()
        };
        // Whole samples from where the reader is, so that its place between two samples stays.
        let mut delay = self.delay + (from - self.delay).ceil();
        let mut left_out: f64 =
            (0..(self.delay - delay).max(0.0) as usize).map(|n| power(delay + n as f64)).sum();
        let kept = self.recent.first().map_or(0, VecDeque::len);
        let all: f64 = (0..kept).map(|n| power(n as f64)).sum::<f64>() + 1e-9;
        let mut best = (f64::NEG_INFINITY, from);
        while delay <= to {
            let length = self.delay - delay;
            let score = if back {
                correlation(delay)
            } else {
                // More power left out than its time is worth is missed; small jumps come too often where
                // nothing else speaks for them.
                let louder = (left_out / all - length / kept as f64).max(0.0);
                correlation(delay) - 4.0 * louder - if length < third { 0.5 } else { 0.0 }
            };
            if score > best.0 {
                best = (score, delay);
            }
            left_out -= power(delay);
            delay += 1.0;
        }
        best.1
    }
}

/// The sample `delay` before the newest, between samples by the cubic of E. Catmull and R. Rom ("A class of
/// local interpolating splines", 1974).
fn read(recent: &VecDeque<f32>, delay: f64) -> f32 {
    let floor = delay.floor();
    let part = (delay - floor) as f32;
    let [a, b, c, d] = [-1.0, 0.0, 1.0, 2.0].map(|n| whole(recent, floor + n));
    let (first, second, third) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a);
    b + 0.5 * part * (first + part * (second + part * third))
}

/// The whole sample at or after `delay` before the newest; 0 before all that is kept.
fn whole(recent: &VecDeque<f32>, delay: f64) -> f32 {
    let back = delay.max(0.0) as usize + 1;
    recent.len().checked_sub(back).and_then(|at| recent.get(at)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    /// A second of a sine in packets of 1024, and its second half shifted.
    fn shifted(frequency: f64, ratio: f64) -> Vec<f32> {
        let mut shifter = Shifter::new(1, RATE);
        let sine: Vec<f32> = (0..RATE)
            .map(|n| (f64::from(n) * frequency / f64::from(RATE) * std::f64::consts::TAU).sin() as f32 * 0.5)
            .collect();
        let out: Vec<f32> =
            sine.chunks(1024).flat_map(|chunk| shifter.process(&[chunk.to_vec()], ratio)).collect();
        assert_eq!(out.len(), sine.len(), "the duration is kept");
        out[RATE as usize / 2..].to_vec()
    }

    /// Power at a frequency, per sample (G. Goertzel, 1958).
    fn power(samples: &[f32], frequency: f64) -> f64 {
        let twice = 2.0 * (frequency / f64::from(RATE) * std::f64::consts::TAU).cos();
        let (mut newer, mut older) = (0.0, 0.0);
        for sample in samples {
            (newer, older) = (f64::from(*sample) + twice * newer - older, newer);
        }
        (newer * newer + older * older - twice * newer * older) / (samples.len() as f64).powi(2)
    }

    #[test]
    fn a_sine_is_moved_to_its_new_frequency_and_stays_one() {
        for (frequency, semitones) in
            [(110.0, 12), (110.0, 5), (440.0, -12), (440.0, 7), (1000.0, -5), (1000.0, 3)]
        {
            let ratio = 2f64.powf(f64::from(semitones) / 12.0);
            let (samples, wanted) = (shifted(frequency, ratio), frequency * ratio);
            let found = (-30..=30)
                .map(|n| wanted * (1.0 + f64::from(n) / 1000.0))
                .max_by(|a, b| power(&samples, *a).total_cmp(&power(&samples, *b)))
                .unwrap();
            // Half a second of sound tells frequencies 2 Hz apart.
            let off = (found - wanted).abs();
            assert!(off <= 2f64.max(wanted * 0.006), "{frequency} by {semitones}: {found}, not {wanted}");
            let all = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
            // A sine of amplitude a has a power of a*a/2, and a*a/4 by the sum above.
            let share = 2.0 * power(&samples, found) / all;
            assert!(share > 0.6, "{frequency} by {semitones}: {share:.2} of the power is at {found}");
            assert!((0.08..0.16).contains(&all), "{frequency} by {semitones}: a power of {all:.3}");
        }
    }

    #[test]
    fn a_click_in_silence_is_heard_wherever_it_comes() {
        for semitones in [-12, -5, -1, 4] {
            let ratio = 2f64.powf(f64::from(semitones) / 12.0);
            let mut shifter = Shifter::new(1, RATE);
            // A hundredth of a second of 1 kHz every 0.1207 seconds, so that jumps come at all its parts.
            let click = |n: u32| match n % 5_794 {
                at @ 0..480 => (f64::from(at) / 48.0 * std::f64::consts::TAU).sin() as f32 * 0.5,
                _ => 0.0,
            };
            let sound: Vec<f32> = (0..16 * RATE).map(click).collect();
            let out: Vec<f32> =
                sound.chunks(960).flat_map(|chunk| shifter.process(&[chunk.to_vec()], ratio)).collect();
            for (n, heard) in out.chunks_exact(5_794).enumerate() {
                let energy: f64 = heard.iter().map(|sample| f64::from(*sample).powi(2)).sum();
                // A click has 60: it may be 10 dB softer.
                assert!(energy > 6.0, "click {n} by {semitones} semitones: {energy:.1}");
            }
        }
    }

    #[test]
    fn the_reader_stays_within_its_ends() {
        for ratio in [0.5, 0.7, 1.3, 2.0] {
            let mut shifter = Shifter::new(2, RATE);
            let mut noise = 1u32;
            for _ in 0..50 {
                let mut row = || {
                    (0..960)
                        .map(|_| {
                            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            (noise >> 8) as f32 / (1 << 24) as f32 - 0.5
                        })
                        .collect::<Vec<f32>>()
                };
                let (left, right) = (row(), row());
                let out = shifter.process(&[left, right], ratio);
                assert_eq!(out.len(), 1920);
                assert!(out.iter().all(|sample| sample.abs() < 1.0));
                let behind = shifter.delay / f64::from(RATE);
                assert!((0.0..=FARTHEST + 0.001).contains(&behind), "{behind} s behind at {ratio}");
                let leaving = shifter.leaving.map_or(0.01, |(delay, _)| delay / f64::from(RATE));
                assert!((0.0..=FARTHEST + FADE).contains(&leaving), "{leaving} s at {ratio}");
            }
        }
    }
}
