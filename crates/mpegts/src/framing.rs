//! Splits a byte stream, in pieces of any size, into 188-byte packets, and resynchronizes after garbage.
//! Knows only the sync byte; parsing the packet is in `packet`.

use std::mem;

pub(crate) const PACKET: usize = 188;
const SYNC: u8 = 0x47;

/// What was found at the front of the bytes.
enum Step<'a> {
    Packet(&'a [u8; PACKET]),
    Skip(usize),
    Wait,
}

/// While synchronized, each packet is accepted on its own, so the last one of a segment never waits for a
/// byte after it. While not, a packet must be followed by another sync byte. Neither depends on how the bytes
/// are split into pieces.
pub(crate) struct Framing {
    carry: Vec<u8>,
    locked: bool,
    pub(crate) garbage: u64,
    pub(crate) resyncs: u64,
}

impl Default for Framing {
    fn default() -> Self {
        Self { carry: Vec::with_capacity(PACKET + 1), locked: true, garbage: 0, resyncs: 0 }
    }
}

impl Framing {
    pub(crate) fn push(&mut self, mut input: &[u8], each: &mut dyn FnMut(&[u8; PACKET])) {
        let mut carry = mem::take(&mut self.carry);
        while !carry.is_empty() && !input.is_empty() {
            let wanted = if self.locked { PACKET } else { PACKET + 1 };
            let (now, later) = input.split_at(wanted.saturating_sub(carry.len()).min(input.len()));
            carry.extend_from_slice(now);
            input = later;
            let used = self.scan(&carry, each);
            carry.drain(..used);
        }
        if carry.is_empty() {
            let used = self.scan(input, each);
            carry.extend_from_slice(input.get(used..).unwrap_or_default());
        }
        self.carry = carry;
    }

    /// Emits the packets found in `bytes` and returns how many bytes were consumed.
    fn scan(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8; PACKET])) -> usize {
        let mut at = 0;
        loop {
            match self.step(bytes.get(at..).unwrap_or_default()) {
                Step::Packet(packet) => {
                    each(packet);
                    at += PACKET;
                }
                Step::Skip(count) => {
                    self.garbage += count as u64;
                    at += count;
                }
                Step::Wait => return at,
            }
        }
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let Some(&first) = bytes.first() else { return Step::Wait };
        if first != SYNC {
            if self.locked {
                self.locked = false;
                self.resyncs += 1;
            }
            return Step::Skip(bytes.iter().position(|&byte| byte == SYNC).unwrap_or(bytes.len()));
        }
        let Some(packet) = bytes.first_chunk() else { return Step::Wait };
        if self.locked {
            return Step::Packet(packet);
        }
        match bytes.get(PACKET) {
            None => Step::Wait,
            Some(&SYNC) => {
                self.locked = true;
                Step::Packet(packet)
            }
            Some(_) => Step::Skip(1),
        }
    }

    /// Ends the segment: emits a packet that was only waiting for the sync byte after it, and returns the
    /// bytes of a truncated packet, if any. The next byte is again expected to start a packet.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(&[u8; PACKET])) -> Vec<u8> {
        let mut tail = mem::take(&mut self.carry);
        if let Some(packet) = tail.first_chunk() {
            each(packet);
            tail.clear();
        } else if !self.locked {
            self.garbage += tail.len() as u64;
            tail.clear();
        }
        self.locked = true;
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: u8) -> Vec<u8> {
        (0..count).flat_map(|index| [[SYNC].as_slice(), &[index; PACKET - 1]].concat()).collect()
    }

    fn cut(chunks: &[&[u8]]) -> (Vec<u8>, Framing, Vec<u8>) {
        let (mut framing, mut seen) = (Framing::default(), Vec::new());
        let mut each = |packet: &[u8; PACKET]| seen.push(packet[1]);
        for chunk in chunks {
            framing.push(chunk, &mut each);
        }
        let tail = framing.finish(&mut each);
        (seen, framing, tail)
    }

    #[test]
    fn one_byte_at_a_time_gives_the_same_packets() {
        let bytes = packets(5);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(cut(&single).0, [0, 1, 2, 3, 4]);
        assert_eq!(cut(&[&bytes]).0, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_last_packet_waits_for_nothing() {
        let (mut framing, mut count) = (Framing::default(), 0);
        framing.push(&packets(3), &mut |_| count += 1);
        assert_eq!(count, 3);
    }

    #[test]
    fn garbage_between_packets_costs_no_packet() {
        let bytes = packets(4);
        // A sync byte within the garbage must not be mistaken for a packet.
        let garbage = [9, SYNC, 7, 8, SYNC, 6];
        let (seen, framing, _) = cut(&[&bytes[..PACKET * 2], &garbage, &bytes[PACKET * 2..]]);
        assert_eq!(seen, [0, 1, 2, 3]);
        assert_eq!((framing.garbage, framing.resyncs), (6, 1));
    }

    #[test]
    fn a_packet_that_was_cut_short_is_told() {
        let bytes = packets(3);
        let (seen, _, tail) = cut(&[&bytes[..PACKET * 2 + 100]]);
        assert_eq!((seen.len(), tail.len()), (2, 100));
    }
}
