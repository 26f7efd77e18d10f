//! A byte stream's NAL units (H.264, Annex B) as they come in packets, each with the timestamp of the packet that it
//! begins in.

use std::collections::VecDeque;

/// Bytes whose NAL unit is not complete.
#[derive(Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// Where packets with a timestamp begin.
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

    /// The next one, if it is complete: another one follows, or what was pushed last ended it.
    pub(super) fn next(&mut self, ended: bool) -> Option<Unit> {
        let begin = start_code(&self.bytes, 0)?;
        let end = match start_code(&self.bytes, begin + 3) {
            Some(end) => end,
            None if ended => self.bytes.len(),
            None => return None,
        };
        let mut unit = self.bytes.get(begin + 3..end)?.to_vec();
        while unit.last() == Some(&0) {
            unit.pop();
        }
        // A start code may begin with the last byte of the packet before.
        let mut stamp = None;
        while let Some(&(at, of)) = self.stamps.front()
            && at <= begin + 1
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
