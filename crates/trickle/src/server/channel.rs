//! A channel's segments: which exist, which is written next, what a request for a number means. No
//! socket, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::segment::{Segment, State};

/// Segments ahead of the writing head that publishers may have open; more is no publisher of ours.
const MAX_AHEAD: usize = 8;

/// Which segment a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    /// -1
    Next,
    /// -2
    Current,
    At(u64),
}

impl Index {
    /// The last part of a request's path; `None` where it is malformed.
    pub(crate) fn parse(text: &str) -> Option<Index> {
        match text.parse::<i64>().ok()? {
            -1 => Some(Index::Next),
            -2 => Some(Index::Current),
            seq => u64::try_from(seq).ok().map(Index::At),
        }
    }
}

/// The answer to a GET.
pub(crate) enum Read {
    Segment(Arc<Segment>),
    /// No such segment; the number that was meant.
    Missing {
        seq: u64,
    },
}

/// The answer to a POST.
pub(crate) enum Write {
    /// Bytes may be appended.
    Open(Arc<Segment>),
    /// That segment has ended.
    Ended { seq: u64 },
    /// Too many segments are open ahead of this channel's head.
    TooFarAhead,
}

/// How segments are made.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Segments kept.
    pub(crate) window: u64,
    /// Bytes in one.
    pub(crate) segment_bytes: u64,
    /// Counts the bytes of all.
    pub(crate) held: Arc<AtomicU64>,
}

pub(crate) struct Channel {
    content_type: String,
    limits: Limits,
    segments: BTreeMap<u64, Arc<Segment>>,
    next_write: u64,
    /// When the channel was made or its last segment began.
    last_segment: Instant,
    terminated: bool,
}

impl Channel {
    pub(crate) fn new(content_type: String, limits: Limits, now: Instant) -> Channel {
        Channel {
            content_type,
            limits,
            segments: BTreeMap::new(),
            next_write: 0,
            last_segment: now,
            terminated: false,
        }
    }

    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The number of the segment that is written next.
    pub(crate) fn next_write(&self) -> u64 {
        self.next_write
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated
    }

    pub(crate) fn is_idle(&self, now: Instant, timeout: Duration) -> bool {
        now.saturating_duration_since(self.last_segment) >= timeout
    }

    /// A GET may run one segment ahead of the writer: that one is made here, empty.
    pub(crate) fn read(&mut self, index: Index) -> Read {
        let seq = match index {
            Index::Next => self.next_write,
            Index::Current => self.next_write.saturating_sub(1),
            Index::At(seq) => seq,
        };
        match self.segments.get(&seq) {
            Some(segment) => Read::Segment(segment.clone()),
            None if seq == self.next_write && !self.terminated => Read::Segment(self.make(seq)),
            None => Read::Missing { seq },
        }
    }

    /// `at`: the segment's number, or the next one. `reset`: the publisher restarted, nobody writes to
    /// the segments before this one.
    pub(crate) fn write(&mut self, at: Option<u64>, reset: bool) -> Write {
        let seq = at.unwrap_or(self.next_write);
        if self.terminated || seq < self.oldest() {
            return Write::Ended { seq };
        }
        if reset {
            for (_, earlier) in self.segments.range(..seq) {
                earlier.end(State::Closed);
            }
            // Readers of the closed ones must find the restarted publisher's segment.
            self.advance(seq);
        }
        let segment = match self.segments.get(&seq) {
            Some(segment) => segment.clone(),
            None if seq > self.next_write && self.segments.range(self.next_write..).count() >= MAX_AHEAD => {
                return Write::TooFarAhead;
            }
            None => self.make(seq),
        };
        if segment.state() == State::Open { Write::Open(segment) } else { Write::Ended { seq } }
    }

    /// The first byte of `seq` has come: call this before readers can see it.
    pub(crate) fn begin(&mut self, seq: u64, now: Instant) {
        let is_open = self.segments.get(&seq).is_some_and(|segment| segment.state() == State::Open);
        if is_open {
            self.last_segment = now;
            self.advance(seq.saturating_add(1));
        }
    }

    /// The segment `seq` is complete (or given up): its readers come to its end.
    /// False where there is no such segment.
    pub(crate) fn finish(&mut self, seq: u64) -> bool {
        let Some(segment) = self.segments.get(&seq) else { return false };
        segment.end(State::Closed);
        // Also after an empty one the head moves on, else its readers would find it again and again.
        self.advance(seq.saturating_add(1));
        true
    }

    /// A POST broke off. What is ahead of the head and empty was a preconnect; it leaves nothing behind,
    /// unless readers may be waiting for it.
    pub(crate) fn abandon(&mut self, seq: u64) {
        let is_preconnect =
            seq > self.next_write && self.segments.get(&seq).is_some_and(|segment| segment.is_empty());
        if is_preconnect && let Some(segment) = self.segments.remove(&seq) {
            segment.end(State::Closed);
        }
    }

    /// Ends the channel for everyone who waits on it.
    pub(crate) fn terminate(&mut self) {
        self.terminated = true;
        for segment in std::mem::take(&mut self.segments).into_values() {
            segment.end(State::Terminated);
        }
    }

    fn oldest(&self) -> u64 {
        self.next_write.saturating_sub(self.limits.window)
    }

    fn make(&mut self, seq: u64) -> Arc<Segment> {
        let segment = Segment::new(seq, self.limits.segment_bytes, self.limits.held.clone());
        self.segments.insert(seq, segment.clone());
        segment
    }

    /// Moves the head to `next`, never back, and the window with it.
    fn advance(&mut self, next: u64) {
        if next <= self.next_write {
            return;
        }
        self.next_write = next;
        let kept = self.segments.split_off(&self.oldest());
        for gone in std::mem::replace(&mut self.segments, kept).into_values() {
            gone.end(State::Closed);
        }
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
