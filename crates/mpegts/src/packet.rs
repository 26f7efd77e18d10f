//! The header and adaptation field of a transport packet (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5), and the
//! continuity counter of one PID. The payload is left to `psi` and `stream`.

use crate::framing::PACKET;

/// A packet's fields, borrowing its payload.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) pid: u16,
    pub(crate) error: bool,
    pub(crate) start: bool,
    pub(crate) scrambled: bool,
    pub(crate) counter: u8,
    pub(crate) discontinuity: bool,
    pub(crate) random_access: bool,
    /// The number of bytes that only fill the packet.
    pub(crate) stuffing: usize,
    /// `None` if the packet has no payload; such a packet does not advance the continuity counter.
    pub(crate) payload: Option<&'a [u8]>,
}

/// Reads only the PID, for packets that are otherwise unreadable.
pub(crate) fn pid_of(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [_, high, low, ..] => Some(u16::from_be_bytes([high & 0x1F, *low])),
        _ => None,
    }
}

impl<'a> Packet<'a> {
    /// Returns `None` if the adaptation field contradicts the packet's size or the control bits are reserved.
    pub(crate) fn parse(bytes: &'a [u8; PACKET]) -> Option<Self> {
        let [_, high, low, control, body @ ..] = bytes;
        let mut packet = Self {
            pid: u16::from_be_bytes([high & 0x1F, *low]),
            error: high & 0x80 != 0,
            start: high & 0x40 != 0,
            scrambled: control & 0xC0 != 0,
            counter: control & 0x0F,
            discontinuity: false,
            random_access: false,
            stuffing: 0,
            payload: None,
        };
        let mut rest: &[u8] = body;
        if control & 0x20 != 0 {
            let (&length, after) = rest.split_first()?;
            let (field, after) = after.split_at_checked(usize::from(length))?;
            packet.adaptation(field)?;
            rest = after;
        }
        match control & 0x30 {
            0x00 => return None,
            0x20 => {}
            _ => packet.payload = Some(rest),
        }
        Some(packet)
    }

    fn adaptation(&mut self, field: &[u8]) -> Option<()> {
        let flags = field.first().copied().unwrap_or(0);
        self.discontinuity = flags & 0x80 != 0;
        self.random_access = flags & 0x40 != 0;
        if flags == 0 {
            // No optional field is present, so the whole adaptation field, its length byte included, is
            // stuffing.
            self.stuffing = field.len() + 1;
            return Some(());
        }
        let mut used = 1;
        for (flag, size) in [(0x10, 6), (0x08, 6), (0x04, 1)] {
            if flags & flag != 0 {
                used += size;
            }
        }
        for flag in [0x02, 0x01] {
            if flags & flag != 0 {
                used += 1 + usize::from(*field.get(used)?);
            }
        }
        self.stuffing = field.len().checked_sub(used)?;
        Some(())
    }
}

/// What the continuity counter says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// There is no previous packet to compare with.
    First,
    Next,
    /// The previous packet, sent again.
    Repeat,
    /// At least this many packets are missing.
    Gap(u32),
}

/// The continuity counter of one PID.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    last: Option<u8>,
    // Restarted counters and runs of 16 lost packets repeat a value too, so a repeat must have equal content.
    print: ([u8; 24], usize),
}

impl Counter {
    /// Checks the counter of a packet that has a payload.
    pub(crate) fn judge(&mut self, counter: u8, payload: &[u8]) -> Continuity {
        let mut print = ([0; 24], payload.len());
        for (to, from) in print.0.iter_mut().zip(payload) {
            *to = *from;
        }
        let verdict = match self.last {
            None => Continuity::First,
            Some(last) if last == counter && print == self.print => Continuity::Repeat,
            Some(last) => match counter.wrapping_sub(last).wrapping_sub(1) & 0x0F {
                0 => Continuity::Next,
                missing => Continuity::Gap(u32::from(missing)),
            },
        };
        self.last = Some(counter);
        self.print = print;
        verdict
    }

    /// Forgets the last value, so that the next packet may carry any.
    pub(crate) fn restart(&mut self) {
        self.last = None;
    }
}
