//! Reproducible random numbers for delays.

use std::thread;
use std::time::Duration;

use crate::settings::SETTINGS;

/// A SplitMix64 generator.
pub(crate) struct Chance(u64);

impl Chance {
    /// The generator of the stream with this number.
    pub(crate) fn new(stream: u64) -> Self {
        Self(SETTINGS.seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Sleeps for a random time: mostly not at all or briefly, but sometimes long enough for another stream
    /// to run far ahead.
    pub(crate) fn pause(&mut self) {
        let number = self.next();
        let longest = SETTINGS.delay.as_nanos() as u64;
        let delay = match number % 8 {
            0..4 => 0,
            4..7 => (number >> 3) % (longest / 16 + 1),
            _ => (number >> 3) % (longest + 1),
        };
        if delay > 0 {
            thread::sleep(Duration::from_nanos(delay));
        }
    }
}
