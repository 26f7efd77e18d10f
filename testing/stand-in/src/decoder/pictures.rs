//! Chooses the surface that each picture is decoded to, and when the picture is displayed.

use std::collections::VecDeque;

use super::syntax::{Coded, References};

/// A decoded picture that is to be displayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoded {
    pub(super) surface: usize,
    pub(super) timestamp: i64,
    order: i64,
}

/// The pictures between decoding and display.
///
/// A surface is reused as early as the stream allows, so a caller that looks at a picture after its turn may
/// find another one there.
#[derive(Default)]
pub(super) struct Pictures {
    surfaces: usize,
    /// How many pictures display may lag behind decoding, beyond what the stream requires.
    delay: usize,
    /// The surfaces that later pictures may refer to, each with its picture's order.
    references: VecDeque<(usize, i64)>,
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

    /// Drops the references that the next picture declares unused.
    pub(super) fn begin(&mut self, coded: &Coded) {
        if let References::Set(kept) = &coded.references {
            self.references.retain(|(_, order)| kept.contains(order));
        }
    }

    /// A surface that is neither referred to nor waiting for display.
    pub(super) fn free_surface(&self) -> Option<usize> {
        let shown_later =
            |surface| self.waiting.iter().chain(&self.ready).any(|picture| picture.surface == surface);
        let referred_to = |surface| self.references.iter().any(|(of, _)| *of == surface);
        (0..self.surfaces).find(|surface| !referred_to(*surface) && !shown_later(*surface))
    }

    /// The picture to display early so that its surface becomes free.
    pub(super) fn hurry(&mut self) -> Option<Decoded> {
        if self.ready.is_empty() {
            self.bump();
        }
        self.ready.pop_front()
    }

    /// All remaining pictures in display order. Called before a picture that decoding can start at, and at
    /// the end.
    pub(super) fn finish(&mut self) -> Vec<Decoded> {
        while self.bump() {}
        self.references.clear();
        self.ready.drain(..).collect()
    }

    /// Takes a decoded picture and returns those that are now due for display.
    pub(super) fn push(&mut self, coded: &Coded, surface: usize) -> Vec<Decoded> {
        let Coded { order, timestamp, .. } = *coded;
        match coded.references {
            References::Sliding { is_one, most } => {
                if is_one {
                    self.references.push_back((surface, order));
                    while self.references.len() > most {
                        self.references.pop_front();
                    }
                }
            }
            References::Set(_) => self.references.push_back((surface, order)),
        }
        if coded.shown {
            self.waiting.push(Decoded { surface, timestamp, order });
        }
        while self.waiting.len() > coded.reordered {
            self.bump();
        }
        let excess = self.ready.len().saturating_sub(self.delay);
        self.ready.drain(..excess).collect()
    }

    /// Moves the first waiting picture in display order to the ready ones.
    fn bump(&mut self) -> bool {
        let first = self.waiting.iter().enumerate().min_by_key(|(_, picture)| picture.order);
        let Some((at, _)) = first else { return false };
        self.ready.push_back(self.waiting.remove(at));
        true
    }
}
