//! The sound that goes with numbered pictures: silence, and a short tone on every whole second, so that the place
//! of a tone among the pictures shows whether sound and picture still belong together.

use cutrickle_codec::Samples;

/// Samples per second of the source.
const RATE: u32 = 48_000;
/// Samples of one stretch handed to the encoder: 20 ms, one Opus packet.
const STRETCH: usize = 960;
/// Length of a tone, in samples: 20 ms.
const TONE: usize = 960;
const TONE_HZ: f64 = 1_000.0;
const TONE_PEAK: f64 = 0.5;
/// A tone begins where the sound exceeds this: above what a codec smears ahead of the tone.
const THRESHOLD: f32 = 0.12;
/// After a tone nothing counts as another for so long, in 90 kHz ticks.
const DEAD_TIME: i64 = 45_000;
const TICKS_PER_SAMPLE: f64 = 90_000.0;

/// The sound of `seconds` from `start` (90 kHz ticks): stretches with the time that each begins at.
pub fn tones(start: i64, seconds: u32) -> impl Iterator<Item = (i64, Samples)> {
    let stretches = u64::from(seconds) * u64::from(RATE) / STRETCH as u64;
    (0..stretches).map(move |stretch| {
        let first = stretch * STRETCH as u64;
        let sample = |i: usize| {
            let within = (first + i as u64) % u64::from(RATE);
            let angle = within as f64 / f64::from(RATE) * TONE_HZ * std::f64::consts::TAU;
            if within < TONE as u64 { (angle.cos() * TONE_PEAK) as f32 } else { 0.0 }
        };
        let samples = Samples { sample_rate: RATE, channels: vec![(0..STRETCH).map(sample).collect()] };
        (start + (first * 90_000 / u64::from(RATE)) as i64, samples)
    })
}

/// Finds where tones begin.
#[derive(Debug, Default)]
pub struct Onsets {
    found: Vec<i64>,
}

impl Onsets {
    /// Takes the next samples, the first of them at `timestamp` (90 kHz ticks).
    pub fn push(&mut self, timestamp: i64, samples: &Samples) {
        let Some(channel) = samples.channels.first() else { return };
        for (i, sample) in channel.iter().enumerate() {
            if sample.abs() < THRESHOLD {
                continue;
            }
            let at = timestamp + (i as f64 * TICKS_PER_SAMPLE / f64::from(samples.sample_rate.max(1))) as i64;
            if self.found.last().is_none_or(|last| (at - last).abs() > DEAD_TIME) {
                self.found.push(at);
            }
        }
    }

    /// Where the tones began, in 90 kHz ticks, as they came.
    pub fn found(self) -> Vec<i64> {
        self.found
    }
}

/// Pairs each of `pictures` (90 kHz ticks) with the nearest onset within half a second: the onset's distance from the
/// picture, in ticks, positive where the sound is late.
pub fn offsets(pictures: impl IntoIterator<Item = i64>, onsets: &[i64]) -> Vec<i64> {
    let nearest = |picture: i64| onsets.iter().map(|onset| onset - picture).min_by_key(|offset| offset.abs());
    pictures.into_iter().filter_map(nearest).filter(|offset| offset.abs() < 45_000).collect()
}

#[cfg(test)]
mod tests {
    use cutrickle_codec::{AudioFormat, audio};

    use super::*;

    #[test]
    fn a_tone_is_found_where_it_began_after_opus() {
        let mut encoder = audio::encoder(AudioFormat::Opus, 1).unwrap();
        let mut decoder = audio::decoder(AudioFormat::Opus).unwrap();
        let mut onsets = Onsets::default();
        let mut listen = |packet: cutrickle_codec::EncodedAudio| {
            onsets.push(packet.timestamp, &decoder.decode(&packet.data).unwrap());
        };
        for (timestamp, samples) in tones(90_000, 3) {
            encoder.encode(&samples, timestamp, &mut listen).unwrap();
        }
        encoder.flush(&mut listen).unwrap();
        let found = onsets.found();
        let offsets = offsets([90_000, 180_000, 270_000], &found);
        assert_eq!(offsets.len(), 3);
        // 5 ms: an eighth of what a viewer may notice.
        assert!(offsets.iter().all(|offset| offset.abs() < 450), "{offsets:?}");
    }

    #[test]
    fn a_picture_without_a_tone_has_no_offset() {
        assert_eq!(offsets([0, 90_000, 180_000], &[900, 181_800]), [900, 1_800]);
    }
}
