//! Opus in transport streams: the control header before each packet (Opus-in-MPEG-TS specification, table
//! 4-1), and the duration of a packet (RFC 6716, section 3.1).

use bytes::BytesMut;
use cutrickle_media::Timestamp;

use crate::clock::SampleClock;
use crate::stream::Cut;

/// Opus always counts samples at this rate.
const RATE: u32 = 48_000;
/// The longest packet, 120 ms.
const MAX_SAMPLES: u32 = 5_760;

/// The largest packet that RFC 6716, section 3.4 allows: 48 frames of 1275 bytes, and their sizes.
const MAX_PACKET: usize = 48 * (1_275 + 2) + 2;

/// Splits one Opus track into packets. Opus packets do not span PES packets.
#[derive(Debug, Default)]
pub(crate) struct OpusSplitter {
    buf: BytesMut,
    clock: SampleClock,
}

impl OpusSplitter {
    /// Starts a PES packet.
    pub(crate) fn begin(&mut self, pts: Option<Timestamp>) {
        if let Some(pts) = pts {
            self.clock.set(pts);
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Discards the packet in progress and returns whether there was one.
    pub(crate) fn reset(&mut self) -> bool {
        let lost = !self.buf.is_empty();
        self.buf.clear();
        lost
    }

    /// Returns the next complete packet, without its control header.
    pub(crate) fn next(&mut self) -> Cut {
        let (head, size) = match control_header(&self.buf) {
            Control::Short => return Cut::Wait,
            Control::Bad => {
                self.reset();
                return Cut::Lost;
            }
            Control::Packet { head, size } => (head, size),
        };
        if self.buf.len() < head + size {
            return Cut::Wait;
        }
        let packet = self.buf.split_to(head + size).freeze().slice(head..);
        let pts = self.clock.now();
        self.clock.advance(packet_samples(&packet), RATE);
        match pts {
            Some(pts) => Cut::Unit(pts, packet),
            None => Cut::Unstamped,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Control {
    Short,
    Bad,
    Packet { head: usize, size: usize },
}

fn control_header(bytes: &[u8]) -> Control {
    let [high, flags, rest @ ..] = bytes else { return Control::Short };
    if *high != 0x7F || flags & 0xE0 != 0xE0 {
        return Control::Bad;
    }
    let run = rest.iter().take_while(|&&byte| byte == 0xFF).count();
    if run * 255 > MAX_PACKET {
        return Control::Bad;
    }
    if run == rest.len() {
        return Control::Short;
    }
    let size = run * 255 + usize::from(rest.get(run).copied().unwrap_or(0));
    let mut head = 2 + run + 1;
    for flag in [0x10, 0x08] {
        if flags & flag != 0 {
            head += 2;
        }
    }
    if flags & 0x04 != 0 {
        let Some(&extension) = bytes.get(head) else { return Control::Short };
        head += 1 + usize::from(extension);
    }
    if size == 0 { Control::Bad } else { Control::Packet { head, size } }
}

/// Writes the control header of a packet of `size` bytes, with no samples trimmed.
pub(crate) fn write_control_header(out: &mut Vec<u8>, size: usize) {
    out.extend([0x7F, 0xE0]);
    out.extend(std::iter::repeat_n(0xFF, size / 255));
    out.push((size % 255) as u8);
}

/// Returns the duration of an Opus packet in samples at 48 kHz (RFC 6716, section 3.1): at most 5760, and 0
/// for an empty packet.
pub fn packet_samples(packet: &[u8]) -> u32 {
    let Some(&toc) = packet.first() else { return 0 };
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |count| u32::from(count & 0x3F)),
    };
    (frame * frames).min(MAX_SAMPLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_header_reads_as_written() {
        for size in [1, 254, 255, 256, 510, 1_275] {
            let mut bytes = Vec::new();
            write_control_header(&mut bytes, size);
            let head = bytes.len();
            assert_eq!(control_header(&bytes), Control::Packet { head, size });
            for short in 0..head {
                assert_eq!(control_header(&bytes[..short]), Control::Short);
            }
        }
    }

    #[test]
    fn trims_and_extensions_are_passed_over() {
        // Both trim fields and an extension of three bytes, then one byte of Opus.
        let bytes = [0x7F, 0xFC, 1, 0, 10, 0, 20, 3, 0, 0, 0, 0xF8];
        assert_eq!(control_header(&bytes), Control::Packet { head: 11, size: 1 });
    }

    #[test]
    fn durations_follow_the_table_of_contents() {
        assert_eq!(packet_samples(&[0xFC]), 960); // CELT fullband, 20 ms, one frame
        assert_eq!(packet_samples(&[0xE0]), 120); // CELT fullband, 2.5 ms
        assert_eq!(packet_samples(&[0x18]), 2_880); // SILK narrowband, 60 ms
        assert_eq!(packet_samples(&[0xFB, 3]), 2_880); // CELT fullband, 20 ms, three frames
        assert_eq!(packet_samples(&[0xFB, 63]), 5_760);
        assert_eq!(packet_samples(&[]), 0);
    }

    #[test]
    fn packed_packets_are_stamped_one_after_the_other() {
        let mut bytes = Vec::new();
        for size in [3usize, 300] {
            write_control_header(&mut bytes, size);
            bytes.push(0xFC);
            bytes.resize(bytes.len() + size - 1, 9);
        }
        let mut splitter = OpusSplitter::default();
        splitter.begin(Some(Timestamp::from_ticks(700)));
        splitter.feed(&bytes);
        let mut cut = |at, size| matches!(splitter.next(), Cut::Unit(pts, data) if (pts.ticks(), data.len()) == (at, size));
        assert!(cut(700, 3) && cut(2_500, 300));
        assert!(matches!(splitter.next(), Cut::Wait));
    }
}
