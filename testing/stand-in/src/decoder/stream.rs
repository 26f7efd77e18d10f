//! Splits a byte stream into NAL units (H.264 and H.265, Annex B) as its packets arrive.
//!
//! Each unit gets the timestamp of the packet that it begins in.

use std::collections::VecDeque;

/// The bytes of NAL units that are not complete yet.
#[derive(Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// The offsets at which packets with a timestamp begin.
    stamps: VecDeque<(usize, i64)>,
}

/// A NAL unit without its start code.
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Option<i64>,
}

fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(3).position(|at| at == [0, 0, 1]).map(|at| from + at)
}

impl Stream {
    pub(super) fn push(&mut self, bytes: &[u8], stamp: Option<i64>) {
        if let Some(stamp) = stamp {
            self.stamps.push_back((self.bytes.len(), stamp));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next unit once it is complete: when another unit follows it, or when `ended` says that the
    /// bytes pushed so far end with a whole unit.
    pub(super) fn next(&mut self, ended: bool) -> Option<Unit> {
        let begin = start_code(&self.bytes, 0)? + 3;
        let end = match start_code(&self.bytes, begin) {
            Some(end) => end,
            None if ended => self.bytes.len(),
            None => return None,
        };
        let mut unit = self.bytes.get(begin..end)?.to_vec();
        // Zeros at the end belong to the next start code.
        while unit.last() == Some(&0) {
            unit.pop();
        }
        // A start code may begin with the last byte of the previous packet.
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
