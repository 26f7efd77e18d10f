//! Splits ADTS AAC (ISO/IEC 14496-3, 1.A.2.2) into frames, across PES packets, and timestamps them.

use bytes::{Bytes, BytesMut};
use cutrickle_media::Timestamp;

use crate::clock::SampleClock;
use crate::stream::Cut;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// One frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Adts {
    /// The bits that are the same in every frame: version, profile, rate and channels.
    fixed: u32,
    rate: u32,
    size: usize,
    samples: u32,
}

impl Adts {
    const SIZE: usize = 7;

    /// Returns `None` if these bytes are not a header.
    fn parse(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let [a, b, c, d, e, f, g] = *bytes;
        let rate = *RATES.get(usize::from((c >> 2) & 0x0F))?;
        let size = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        let plain = a == 0xFF && b & 0xF6 == 0xF0 && size > Self::SIZE;
        plain.then_some(Self {
            fixed: u32::from_be_bytes([0, b, c & 0xFD, d & 0xC0]),
            rate,
            size,
            samples: 1024 * (u32::from(g & 3) + 1),
        })
    }
}

/// Splits one AAC track into frames.
#[derive(Debug, Default)]
pub(crate) struct AdtsSplitter {
    buf: BytesMut,
    clock: SampleClock,
    /// A PES packet's timestamp, and the offset in `buf` at which that packet begins. The timestamp belongs
    /// to the first frame that begins at that offset or later.
    mark: Option<(usize, Timestamp)>,
    fixed: Option<u32>,
    /// Whether `buf` is known to begin with a frame.
    aligned: bool,
    /// Whether bytes of this PES packet were skipped, so that a header at its front is no longer trusted.
    searching: bool,
}

impl AdtsSplitter {
    /// Starts a PES packet.
    pub(crate) fn begin(&mut self, pts: Option<Timestamp>) {
        self.settle();
        self.searching = false;
        if let Some(pts) = pts {
            self.mark = Some((self.buf.len(), pts));
        }
    }

    /// Applies the pending timestamp if it belongs to the frame at the front.
    fn settle(&mut self) {
        if let (Some((0, pts)), false) = (self.mark, self.buf.is_empty()) {
            self.clock.set(pts);
            self.mark = None;
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Discards the frame in progress and searches for the next one from the next PES packet on. Returns
    /// whether anything was lost.
    pub(crate) fn reset(&mut self) -> bool {
        let lost = !self.buf.is_empty();
        self.buf.clear();
        self.mark = None;
        self.aligned = false;
        lost
    }

    /// Returns the next complete frame.
    pub(crate) fn next(&mut self) -> Cut {
        if !self.aligned && !self.search() {
            return Cut::Wait;
        }
        self.settle();
        let Some(header) = self.buf.first_chunk() else { return Cut::Wait };
        let Some(header) = Adts::parse(header) else {
            // The number of samples in the unreadable part is unknown, so the timestamps after it are too.
            self.reset();
            return Cut::Lost;
        };
        if self.buf.len() < header.size {
            return Cut::Wait;
        }
        self.fixed = Some(header.fixed);
        let frame = self.take(header.size);
        let pts = self.clock.now();
        self.clock.advance(header.samples, header.rate);
        match pts {
            Some(pts) => Cut::Unit(pts, frame),
            None => Cut::Unstamped,
        }
    }

    fn take(&mut self, size: usize) -> Bytes {
        if let Some((distance, _)) = &mut self.mark {
            *distance = distance.saturating_sub(size);
        }
        self.buf.split_to(size).freeze()
    }

    /// Searches for a header, first at the front, then anywhere. A header that is not at the front must match
    /// the previous ones or be followed by another header. Discards the bytes before it.
    fn search(&mut self) -> bool {
        let mut at = 0;
        while let Some(bytes) = self.buf.get(at..).and_then(|rest| rest.first_chunk()) {
            if let Some(header) = Adts::parse(bytes) {
                let next = self.buf.get(at + header.size..).unwrap_or_default();
                let followed = next.first_chunk().map(|bytes| Adts::parse(bytes).is_some());
                if (at == 0 && !self.searching) || self.fixed == Some(header.fixed) || followed == Some(true)
                {
                    self.take(at);
                    self.aligned = true;
                    return true;
                }
                if followed.is_none() {
                    break;
                }
            }
            at += 1;
        }
        self.searching |= at > 0;
        self.take(at);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of `size` bytes at 48 kHz, stereo, AAC-LC.
    fn frame(size: usize, fill: u8) -> Vec<u8> {
        let mut frame = vec![0xFF, 0xF1, 0x4C, 0x80 | (size >> 11) as u8, (size >> 3) as u8];
        frame.extend([(size << 5) as u8 | 0x1F, 0xFC]);
        frame.resize(size, fill);
        frame
    }

    fn drain(splitter: &mut AdtsSplitter) -> Vec<(i64, usize)> {
        let mut units = Vec::new();
        while let Cut::Unit(pts, data) = splitter.next() {
            units.push((pts.ticks(), data.len()));
        }
        units
    }

    #[test]
    fn a_stamp_belongs_to_the_first_frame_that_begins_in_its_packet() {
        let bytes = [frame(100, 1), frame(120, 2), frame(90, 3)].concat();
        let mut splitter = AdtsSplitter::default();
        splitter.begin(Some(Timestamp::from_ticks(1_000)));
        splitter.feed(&bytes[..150]);
        assert_eq!(drain(&mut splitter), [(1_000, 100)]);
        // The second frame began in the first packet, so this timestamp belongs to the third frame.
        splitter.begin(Some(Timestamp::from_ticks(50_000)));
        splitter.feed(&bytes[150..]);
        assert_eq!(drain(&mut splitter), [(2_920, 120), (50_000, 90)]);
    }

    #[test]
    fn after_a_loss_it_starts_at_the_next_header() {
        let mut splitter = AdtsSplitter::default();
        splitter.begin(Some(Timestamp::from_ticks(0)));
        splitter.feed(&frame(64, 0));
        assert_eq!(drain(&mut splitter), [(0, 64)]);
        splitter.feed(&[1; 30]);
        assert!(matches!(splitter.next(), Cut::Lost));
        splitter.begin(Some(Timestamp::from_ticks(9_000)));
        splitter.feed(&[[7; 33].to_vec(), frame(70, 0xFF), frame(80, 4)].concat());
        assert_eq!(drain(&mut splitter), [(9_000, 70), (10_920, 80)]);
    }
}
