//! A channel's segments: which exist, which is written next, what a request for a number means. No
//! socket, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::Account;
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
pub(crate) struct Limits {
    /// Segments kept.
    pub(crate) window: u64,
    /// Bytes in one.
    pub(crate) segment_bytes: u64,
    /// What they take of the memory of all.
    pub(crate) account: Account,
}

/// Which publisher sends a request, where it says so.
pub(crate) type Publisher = Option<u64>;

pub(crate) struct Channel {
    content_type: String,
    limits: Limits,
    segments: BTreeMap<u64, Arc<Segment>>,
    /// The POSTs that are open: of which segment, by whom.
    posts: Vec<(u64, Publisher)>,
    next_write: u64,
    /// Who began the newest segment.
    newest_by: Publisher,
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
            posts: Vec::new(),
            next_write: 0,
            newest_by: None,
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
    /// the segments before this one. `by`: publishers that say who they are have a segment for themselves while their
    /// POST is open; all others write to one segment together.
    pub(crate) fn write(&mut self, at: Option<u64>, reset: bool, by: Publisher) -> Write {
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
        let is_another = |other: &Publisher| by.is_some() && other.is_some() && *other != by;
        let segment = match self.segments.get(&seq) {
            Some(segment) => segment.clone(),
            // Another has gone past this number meanwhile, and its readers with it.
            None if seq < self.next_write && is_another(&self.newest_by) => return Write::Ended { seq },
            None if seq > self.next_write && self.segments.range(self.next_write..).count() >= MAX_AHEAD => {
                return Write::TooFarAhead;
            }
            None => self.make(seq),
        };
        let is_claimed = self.posts.iter().any(|(post, other)| *post == seq && is_another(other));
        if segment.state() == State::Open && !is_claimed {
            Write::Open(segment)
        } else {
            Write::Ended { seq }
        }
    }

    /// A POST of `seq` is open, until [`leave`](Self::leave).
    pub(crate) fn enter(&mut self, seq: u64, by: Publisher) {
        self.posts.push((seq, by));
    }

    pub(crate) fn leave(&mut self, seq: u64, by: Publisher) {
        if let Some(place) = self.posts.iter().position(|post| *post == (seq, by)) {
            self.posts.swap_remove(place);
        }
    }

    /// The first byte of `seq` has come: call this before readers can see it.
    pub(crate) fn begin(&mut self, seq: u64, now: Instant, by: Publisher) {
        let is_open = self.segments.get(&seq).is_some_and(|segment| segment.state() == State::Open);
        if is_open {
            self.last_segment = now;
            if by.is_some() {
                self.pass_over(seq, by);
            }
            if seq >= self.next_write {
                self.newest_by = by;
            }
            self.advance(seq.saturating_add(1));
        }
    }

    /// Of several publishers one begins `seq`, and the others may be idle: nobody is to wait for what they have
    /// preconnected before it. Theirs are given another number.
    fn pass_over(&self, seq: u64, by: Publisher) {
        for (&before, segment) in self.segments.range(self.next_write.min(seq)..seq) {
            if segment.is_empty() && !self.posts.contains(&(before, by)) {
                segment.end(State::Closed);
            }
        }
    }

    /// The publisher `by` is done. False if the channel has to end with it: nobody else has a POST open. Otherwise its
    /// segments are ended.
    pub(crate) fn goes_on_without(&mut self, by: u64) -> bool {
        let others: Vec<u64> = self
            .posts
            .iter()
            .filter(|(_, other)| *other != Some(by))
            .filter(|(seq, _)| self.segments.get(seq).is_some_and(|open| open.state() == State::Open))
            .map(|(seq, _)| *seq)
            .collect();
        if others.is_empty() || self.terminated {
            return false;
        }
        let left: Vec<u64> = self.segments.keys().filter(|seq| !others.contains(seq)).copied().collect();
        for seq in left {
            if seq < self.next_write {
                self.finish(seq);
            } else {
                self.abandon(seq);
            }
        }
        true
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
        let segment = Segment::new(seq, self.limits.segment_bytes, self.limits.account.clone());
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
