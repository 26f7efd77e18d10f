//! A byte stream's units as they come in packets, each with the timestamp of the packet that it begins in: NAL units
//! between start codes (H.264 and H.265, Annex B), or OBUs that say their length (AV1, 5.2).

use std::collections::VecDeque;

use super::Codec;
use super::av1;

/// Bytes whose unit is not complete.
pub(super) struct Stream {
    /// Finds the first unit: where it begins and ends, and where the next one may begin.
    frame: fn(&[u8], bool) -> Option<Found>,
    bytes: Vec<u8>,
    /// Where packets with a timestamp begin.
    stamps: VecDeque<(usize, i64)>,
}

struct Found {
    begin: usize,
    end: usize,
}

/// A NAL unit without its start code, or an OBU with its header.
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Option<i64>,
}

fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(3).position(|at| at == [0, 0, 1]).map(|at| from + at)
}

/// Complete is one that another follows, or that is the last.
fn nal_unit(bytes: &[u8], ended: bool) -> Option<Found> {
    let begin = start_code(bytes, 0)? + 3;
    match start_code(bytes, begin) {
        Some(end) => Some(Found { begin, end }),
        None => ended.then_some(Found { begin, end: bytes.len() }),
    }
}

fn obu(bytes: &[u8], _: bool) -> Option<Found> {
    let end = av1::length(bytes)?;
    (end <= bytes.len()).then_some(Found { begin: 0, end })
}

impl Stream {
    pub(super) fn of(codec: Codec) -> Self {
        let frame = match codec {
            Codec::H264 | Codec::H265 => nal_unit,
            Codec::Av1 => obu,
        };
        Self { frame, bytes: Vec::new(), stamps: VecDeque::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8], stamp: Option<i64>) {
        if let Some(stamp) = stamp {
            self.stamps.push_back((self.bytes.len(), stamp));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next one, if it is complete; `ended`: what was pushed last ends with a unit.
    pub(super) fn next(&mut self, ended: bool) -> Option<Unit> {
        let Found { begin, end } = (self.frame)(&self.bytes, ended)?;
        let mut unit = self.bytes.get(begin..end)?.to_vec();
        // Of a NAL unit, zeros at the end are the next start code's; an OBU ends where it says.
        while begin > 0 && unit.last() == Some(&0) {
            unit.pop();
        }
        // A start code may begin with the last byte of the packet before.
        let mut stamp = None;
        while let Some(&(at, of)) = self.stamps.front()
            && at <= begin.saturating_sub(2)
        {
            stamp = Some(of);
            self.stamps.pop_front();
        }
        self.bytes.drain(..end);
        for (at, _) in &mut self.stamps {
            *at = at.saturating_sub(end);
        }
        Some(Unit { bytes: unit, stamp })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.stamps.clear();
    }
}
