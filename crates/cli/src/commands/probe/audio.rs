//! The audio that goes with the numbered frames: silence, with a short tone at every whole second. Where the
//! tones lie among the frames shows whether audio and video are still in sync.

use cutrickle_codec::Samples;
use cutrickle_media::{Ticks, Timestamp};

/// Samples per second of the source.
const RATE: u32 = 48_000;
/// Samples that are handed to the encoder at a time: 20 ms, one Opus packet.
const BLOCK: usize = 960;
/// Length of a tone, in samples: 20 ms.
const TONE: u64 = 960;
const TONE_HZ: f64 = 1_000.0;
const TONE_PEAK: f64 = 0.5;
/// A tone begins where the audio exceeds this, which is above what a codec smears ahead of the tone.
const THRESHOLD: f32 = 0.12;
/// For this long after the start of a tone, no other one can start.
const DEAD_TIME: Ticks = Ticks::from_millis(500);
/// A tone that is further than this from a frame belongs to another one.
const MAX_OFFSET: Ticks = Ticks::from_millis(500);

/// The audio of `seconds` seconds from `start` on, as blocks with the time at which each begins.
pub fn tones(start: Timestamp, seconds: u32) -> impl Iterator<Item = (Timestamp, Samples)> {
    let blocks = u64::from(seconds) * u64::from(RATE) / BLOCK as u64;
    (0..blocks).map(move |block| {
        let first = block * BLOCK as u64;
        let sample = |i: usize| {
            let within = (first + i as u64) % u64::from(RATE);
            let angle = within as f64 / f64::from(RATE) * TONE_HZ * std::f64::consts::TAU;
            if within < TONE { (angle.cos() * TONE_PEAK) as f32 } else { 0.0 }
        };
        let samples = Samples { sample_rate: RATE, channels: vec![(0..BLOCK).map(sample).collect()] };
        (start + Ticks::PER_SECOND * first as i64 / i64::from(RATE), samples)
    })
}

/// Finds the points at which tones begin.
#[derive(Debug, Default)]
pub struct Onsets {
    found: Vec<Timestamp>,
}

impl Onsets {
    /// Takes the next samples, of which the first is at `timestamp`.
    pub fn push(&mut self, timestamp: Timestamp, samples: &Samples) {
        let Some(channel) = samples.channels.first() else { return };
        for (i, sample) in channel.iter().enumerate() {
            if sample.abs() < THRESHOLD {
                continue;
            }
            let at = timestamp + Ticks::PER_SECOND * i as i64 / i64::from(samples.sample_rate.max(1));
            if self.found.last().is_none_or(|last| at.distance(*last) > DEAD_TIME) {
                self.found.push(at);
            }
        }
    }

    /// The points at which tones began, in the order in which they came.
    pub fn found(self) -> Vec<Timestamp> {
        self.found
    }
}

/// For each of `frames` that has a tone near it, how far the beginning of that tone is from the frame.
/// Positive where the audio is late.
pub fn offsets(frames: impl IntoIterator<Item = Timestamp>, onsets: &[Timestamp]) -> Vec<Ticks> {
    let nearest =
        |frame: Timestamp| onsets.iter().map(|onset| *onset - frame).min_by_key(|offset| offset.abs());
    frames.into_iter().filter_map(nearest).filter(|offset| offset.abs() < MAX_OFFSET).collect()
}

#[cfg(test)]
mod tests {
    use cutrickle_codec::Backends;
    use cutrickle_media::{AccessUnit, AudioCodec};

    use super::*;

    #[test]
    fn a_tone_is_found_where_it_began_after_opus() {
        let backends = Backends::builtin();
        let mut encoder = backends.open_audio_encoder(AudioCodec::Opus, 1).unwrap();
        let mut decoder = backends.open_audio_decoder(AudioCodec::Opus).unwrap();
        let mut onsets = Onsets::default();
        let mut listen = |packet: AccessUnit| {
            onsets.push(packet.pts, &decoder.decode(&packet.data).unwrap());
        };
        for (timestamp, samples) in tones(Timestamp::from_ticks(90_000), 3) {
            encoder.encode(&samples, timestamp, &mut listen).unwrap();
        }
        encoder.flush(&mut listen).unwrap();
        let found = onsets.found();
        let offsets = offsets([90_000, 180_000, 270_000].map(Timestamp::from_ticks), &found);
        assert_eq!(offsets.len(), 3);
        // 5 ms: an eighth of what a viewer may notice.
        assert!(offsets.iter().all(|offset| offset.abs() < Ticks::from_millis(5)), "{offsets:?}");
    }

    #[test]
    fn a_frame_without_a_tone_has_no_offset() {
        let offsets = offsets(
            [0, 90_000, 180_000].map(Timestamp::from_ticks),
            &[900, 181_800].map(Timestamp::from_ticks),
        );
        assert_eq!(offsets, [900, 1_800].map(Ticks::new));
    }
}
