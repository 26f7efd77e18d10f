//! Which surface a picture is decoded to, and when it is displayed.

use std::collections::VecDeque;

use super::headers::{Slice, Sps};

/// A picture that was decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoded {
    pub(super) surface: usize,
    pub(super) timestamp: i64,
    order: i64,
}

/// Pictures between decoding and display. A surface is taken again as early as the stream allows: who looks at a
/// picture later than he was told of it may find another.
#[derive(Default)]
pub(super) struct Order {
    surfaces: usize,
    /// Pictures that display may lag behind, beyond what the stream asks for.
    delay: usize,
    references: VecDeque<usize>,
    waiting: Vec<Decoded>,
    ready: VecDeque<Decoded>,
    previous_msb: i64,
    previous_lsb: i64,
    frame_num_offset: i64,
    previous_frame_num: u32,
    in_sequence: i64,
}

impl Order {
    pub(super) fn new(surfaces: usize, delay: usize) -> Self {
        Self { surfaces, delay, ..Self::default() }
    }

    pub(super) fn set_surfaces(&mut self, surfaces: usize) {
        self.surfaces = surfaces;
    }

    /// A surface that nobody needs any more.
    pub(super) fn free_surface(&self) -> Option<usize> {
        let shown_later =
            |surface| self.waiting.iter().chain(&self.ready).any(|picture| picture.surface == surface);
        (0..self.surfaces).find(|surface| !self.references.contains(surface) && !shown_later(*surface))
    }

    /// What is displayed before its time, where there is no surface else.
    pub(super) fn hurry(&mut self) -> Option<Decoded> {
        if self.ready.is_empty() {
            self.bump();
        }
        self.ready.pop_front()
    }

    /// Everything that is left, in order: an IDR picture or the end follows.
    pub(super) fn finish(&mut self) -> Vec<Decoded> {
        while self.bump() {}
        self.references.clear();
        self.ready.drain(..).collect()
    }

    /// Takes a picture that was decoded, and gives those that are to be displayed.
    pub(super) fn push(&mut self, sps: &Sps, slice: &Slice, surface: usize, timestamp: i64) -> Vec<Decoded> {
        let order = self.order_of(sps, slice);
        if slice.reference {
            self.references.push_back(surface);
            while self.references.len() > sps.reference_frames.max(1) as usize {
                self.references.pop_front();
            }
        }
        self.waiting.push(Decoded { surface, timestamp, order });
        while self.waiting.len() > sps.reordered_frames() {
            self.bump();
        }
        let excess = self.ready.len().saturating_sub(self.delay);
        self.ready.drain(..excess).collect()
    }

    /// Passes on the first in display order.
    fn bump(&mut self) -> bool {
        let first = self.waiting.iter().enumerate().min_by_key(|(_, picture)| picture.order);
        let Some((at, _)) = first else { return false };
        self.ready.push_back(self.waiting.remove(at));
        true
    }

    /// The picture order count (8.2.1). Of type 1, which asks for more than is read here, the decoding order.
    fn order_of(&mut self, sps: &Sps, slice: &Slice) -> i64 {
        self.in_sequence = if slice.idr { 0 } else { self.in_sequence + 1 };
        match sps.order_type {
            0 => {
                if slice.idr {
                    (self.previous_msb, self.previous_lsb) = (0, 0);
                }
                let (lsb, range) = (i64::from(slice.order_lsb), 1i64 << sps.log2_max_order_lsb);
                let msb = if lsb < self.previous_lsb && self.previous_lsb - lsb >= range / 2 {
                    self.previous_msb + range
                } else if lsb > self.previous_lsb && lsb - self.previous_lsb > range / 2 {
                    self.previous_msb - range
                } else {
                    self.previous_msb
                };
                if slice.reference {
                    (self.previous_msb, self.previous_lsb) = (msb, lsb);
                }
                msb + lsb
            }
            2 => {
                if slice.idr {
                    self.frame_num_offset = 0;
                } else if slice.frame_num < self.previous_frame_num {
                    self.frame_num_offset += 1i64 << sps.log2_max_frame_num;
                }
                self.previous_frame_num = slice.frame_num;
                2 * (self.frame_num_offset + i64::from(slice.frame_num)) - i64::from(!slice.reference)
            }
            _ => self.in_sequence,
        }
    }
}
