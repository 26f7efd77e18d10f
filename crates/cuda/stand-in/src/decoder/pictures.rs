//! Which surface a picture is decoded to, and when it is displayed.

use std::collections::VecDeque;

use super::syntax::{Coded, References};

/// A picture that is to be displayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoded {
    pub(super) surface: usize,
    pub(super) timestamp: i64,
    order: i64,
}

/// Pictures between decoding and display. A surface is taken again as early as the stream allows: who looks at a
/// picture later than he was told of it may find another.
#[derive(Default)]
pub(super) struct Pictures {
    surfaces: usize,
    /// Pictures that display may lag behind, beyond what the stream asks for.
    delay: usize,
    /// Surfaces that others refer to, with the picture's order.
    references: VecDeque<(usize, i64)>,
    /// The same of AV1.
    slots: [Option<usize>; 8],
    waiting: Vec<Decoded>,
    ready: VecDeque<Decoded>,
}

impl Pictures {
    pub(super) fn new(surfaces: usize, delay: usize) -> Self {
        Self { surfaces, delay, ..Self::default() }
    }

    pub(super) fn set_surfaces(&mut self, surfaces: usize) {
        self.surfaces = surfaces;
    }

    /// Lets go of what the picture that comes next says is no reference any more.
    pub(super) fn begin(&mut self, coded: &Coded) {
        if let References::Set(kept) = &coded.references {
            self.references.retain(|(_, order)| kept.contains(order));
        }
    }

    /// A surface that nobody needs any more.
    pub(super) fn free_surface(&self) -> Option<usize> {
        let shown_later =
            |surface| self.waiting.iter().chain(&self.ready).any(|picture| picture.surface == surface);
        let referred_to = |surface| {
            self.references.iter().any(|(of, _)| *of == surface) || self.slots.contains(&Some(surface))
        };
        (0..self.surfaces).find(|surface| !referred_to(*surface) && !shown_later(*surface))
    }

    /// What is displayed before its time, where there is no surface else.
    pub(super) fn hurry(&mut self) -> Option<Decoded> {
        if self.ready.is_empty() {
            self.bump();
        }
        self.ready.pop_front()
    }

    /// Everything that is left, in order: a picture that decoding can start at, or the end, follows.
    pub(super) fn finish(&mut self) -> Vec<Decoded> {
        while self.bump() {}
        self.references.clear();
        self.slots = [None; 8];
        self.ready.drain(..).collect()
    }

    /// Takes a picture that was decoded, and gives those that are to be displayed.
    pub(super) fn push(&mut self, coded: &Coded, surface: usize) -> Vec<Decoded> {
        let Coded { order, timestamp, .. } = *coded;
        match &coded.references {
            References::Sliding { is_one, most } => {
                if *is_one {
                    self.references.push_back((surface, order));
                    while self.references.len() > *most {
                        self.references.pop_front();
                    }
                }
            }
            References::Set(_) => self.references.push_back((surface, order)),
            References::Slots(into) => {
                let into = |at: usize| into >> at & 1 == 1;
                self.slots
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| into(*at))
                    .for_each(|(_, slot)| *slot = Some(surface));
            }
        }
        if coded.shown {
            self.waiting.push(Decoded { surface, timestamp, order });
        }
        while self.waiting.len() > coded.reordered {
            self.bump();
        }
        self.due()
    }

    /// Displays what a slot holds.
    pub(super) fn show(&mut self, slot: usize, timestamp: i64) -> Vec<Decoded> {
        if let Some(surface) = self.slots.get(slot).copied().flatten() {
            self.ready.push_back(Decoded { surface, timestamp, order: 0 });
        }
        self.due()
    }

    fn due(&mut self) -> Vec<Decoded> {
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
}
