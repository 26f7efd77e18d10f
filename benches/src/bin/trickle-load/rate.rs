//! How fast and in what pieces a channel is written. Every write begins with a stamp, from which the readers
//! know when it was sent and whether it is the one that they expect.

use std::time::{Duration, Instant};

/// The number of writes per second if the rate is limited, which is that of a video with 30 fps.
const WRITES_PER_SECOND: u32 = 30;
/// The size of a stamp in bytes.
const STAMP: usize = 16;

/// The value of `--rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// This many bits per second.
    Limited(u64),
    /// As fast as the server accepts them.
    Max,
}

impl Rate {
    pub fn parse(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate::Max);
        }
        let (number, unit) = match text.strip_suffix(['k', 'M', 'G']) {
            Some(number) if text.ends_with('k') => (number, 1e3),
            Some(number) if text.ends_with('M') => (number, 1e6),
            Some(number) => (number, 1e9),
            None => (text, 1.0),
        };
        match number.parse::<f64>() {
            Ok(number) if number * unit >= 1e5 && number * unit <= 1e10 => {
                Ok(Rate::Limited((number * unit) as u64))
            }
            _ => Err("100k to 10G bits per second, or max".to_owned()),
        }
    }

    /// The writes of a channel at this rate.
    pub fn shape(self) -> Shape {
        match self {
            Rate::Limited(bits) => Shape {
                write: usize::try_from(bits / u64::from(WRITES_PER_SECOND) / 8).unwrap_or(usize::MAX),
                writes: u64::from(WRITES_PER_SECOND),
                interval: Some(Duration::from_secs(1) / WRITES_PER_SECOND),
            },
            Rate::Max => Shape { write: 64 << 10, writes: 16, interval: None },
        }
    }
}

/// The writes of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The size of a write in bytes.
    pub write: usize,
    /// The number of writes in a segment.
    pub writes: u64,
    /// The time between two writes, or `None` if they follow each other immediately.
    pub interval: Option<Duration>,
}

impl Shape {
    pub fn segment_bytes(self) -> u64 {
        self.write as u64 * self.writes
    }
}

/// The time at which a write was sent, and its number within the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub nanos: u64,
    pub number: u64,
}

impl Stamp {
    pub fn now(epoch: Instant, number: u64) -> Stamp {
        Stamp { nanos: u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX), number }
    }
}

/// A write in the form of an HTTP chunk. It is reused, and only the stamp changes.
pub struct Chunk {
    bytes: Vec<u8>,
    stamp_at: usize,
}

impl Chunk {
    pub fn new(shape: Shape) -> Chunk {
        let size = format!("{:x}\r\n", shape.write);
        let mut bytes = size.clone().into_bytes();
        bytes.resize(size.len() + shape.write, 0x47);
        bytes.extend_from_slice(b"\r\n");
        Chunk { bytes, stamp_at: size.len() }
    }

    pub fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        let mut both = [0; STAMP];
        both[..8].copy_from_slice(&stamp.nanos.to_le_bytes());
        both[8..].copy_from_slice(&stamp.number.to_le_bytes());
        if let Some(place) = self.bytes.get_mut(self.stamp_at..self.stamp_at + STAMP) {
            place.copy_from_slice(&both);
        }
        &self.bytes
    }
}

/// Finds the writes in the bytes of a segment.
pub struct Writes {
    shape: Shape,
    offset: u64,
    stamp: [u8; STAMP],
}

impl Writes {
    pub fn new(shape: Shape) -> Writes {
        Writes { shape, offset: 0, stamp: [0; STAMP] }
    }

    /// How many bytes of the segment have been passed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes `data`, and calls `complete` with the stamp of each write whose last byte it contains.
    pub fn pass(&mut self, mut data: &[u8], mut complete: impl FnMut(Stamp)) {
        while !data.is_empty() {
            let at = usize::try_from(self.offset % self.shape.write as u64).unwrap_or_default();
            let length = match self.stamp.get_mut(at..) {
                Some(place) if !place.is_empty() => {
                    let length = place.len().min(data.len());
                    place[..length].copy_from_slice(&data[..length]);
                    length
                }
                _ => (self.shape.write - at).min(data.len()),
            };
            data = &data[length..];
            self.offset += length as u64;
            if at + length == self.shape.write {
                let [nanos, number] =
                    [0, 8].map(|at| self.stamp[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)));
                complete(Stamp { nanos, number });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_a_second_with_a_unit() {
        assert_eq!(Rate::parse("5M"), Ok(Rate::Limited(5_000_000)));
        assert_eq!(Rate::parse("1.5G"), Ok(Rate::Limited(1_500_000_000)));
        assert_eq!(Rate::parse("max"), Ok(Rate::Max));
        for text in ["", "5", "M", "-5M", "5m", "nan", "20G"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::Limited(5_000_000).shape().write, 20_833);
    }

    #[test]
    fn stamps_are_found_again_however_the_bytes_arrive() {
        let shape = Shape { write: 100, writes: 3, interval: None };
        let mut chunk = Chunk::new(shape);
        let stamps: Vec<_> = (0..3).map(|number| Stamp { nanos: 1000 + number, number }).collect();
        let segment: Vec<u8> =
            stamps.iter().flat_map(|&stamp| chunk.stamped(stamp)[4..104].to_vec()).collect();
        for size in 1..segment.len() {
            let (mut writes, mut found) = (Writes::new(shape), Vec::new());
            for piece in segment.chunks(size) {
                writes.pass(piece, |stamp| found.push(stamp));
            }
            assert_eq!((&found, writes.offset()), (&stamps, shape.segment_bytes()));
        }
    }
}
