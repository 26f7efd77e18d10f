//! The segments of a channel: which ones exist, which one is written next, and which one a request refers to.
//! Uses no sockets and no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::Account;
use super::segment::{Segment, State};

/// How many segments may be open ahead of the next one to be written. Well-behaved publishers need fewer.
const MAX_AHEAD: usize = 8;

/// The segment that a request refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    /// The segment that will be written next, -1.
    Next,
    /// The segment that is being written, -2.
    Current,
    At(u64),
}

impl Index {
    /// Parses the last part of a request path. Returns `None` if it is malformed.
    pub(crate) fn parse(text: &str) -> Option<Index> {
        match text.parse::<i64>().ok()? {
            -1 => Some(Index::Next),
            -2 => Some(Index::Current),
            seq => u64::try_from(seq).ok().map(Index::At),
        }
    }
}

/// The result of a GET.
pub(crate) enum Read {
    Segment(Arc<Segment>),
    /// The segment with this number does not exist.
    Missing {
        seq: u64,
    },
}

/// The result of a POST.
pub(crate) enum Write {
    /// Bytes may be appended.
    Open(Arc<Segment>),
    /// The segment has ended.
    Ended { seq: u64 },
    /// Too many segments are open ahead of the next one to be written.
    TooFarAhead,
}

/// The limits of a channel.
pub(crate) struct Limits {
    /// How many segments are kept.
    pub(crate) window: u64,
    /// The largest size of a segment in bytes.
    pub(crate) segment_bytes: u64,
    /// The share of the channel in the memory of the server.
    pub(crate) account: Account,
}

/// The publisher that sends a request, if it identifies itself.
pub(crate) type Publisher = Option<u64>;

pub(crate) struct Channel {
    content_type: String,
    limits: Limits,
    segments: BTreeMap<u64, Arc<Segment>>,
    /// The open POSTs, as segment number and publisher.
    posts: Vec<(u64, Publisher)>,
    next_write: u64,
    /// The publisher that began the newest segment.
    newest_by: Publisher,
    /// When the last segment began, or when the channel was created.
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

    /// The number of the segment that will be written next.
    pub(crate) fn next_write(&self) -> u64 {
        self.next_write
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated
    }

    pub(crate) fn is_idle(&self, now: Instant, timeout: Duration) -> bool {
        now.saturating_duration_since(self.last_segment) >= timeout
    }

    /// A GET may be one segment ahead of the writer. In that case the empty segment is created here.
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

    /// Finds or creates the segment `at`, or the next one if `at` is `None`. A `reset` closes all segments
    /// before it, because the restarted publisher will not continue them. A publisher `by` that identifies
    /// itself has the segment to itself while its POST is open. All others may write to the same segment.
    pub(crate) fn write(&mut self, at: Option<u64>, reset: bool, by: Publisher) -> Write {
        let seq = at.unwrap_or(self.next_write);
        if self.terminated || seq < self.oldest() {
            return Write::Ended { seq };
        }
        if reset {
            for (_, earlier) in self.segments.range(..seq) {
                earlier.end(State::Closed);
            }
            // The readers of the closed segments must find this one next.
            self.advance(seq);
        }
        let is_another = |other: &Publisher| by.is_some() && other.is_some() && *other != by;
        let segment = match self.segments.get(&seq) {
            Some(segment) => segment.clone(),
            // Another publisher is past this number already, and so are the readers.
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

    /// Records an open POST of `seq`, until [`leave`](Self::leave) is called.
    pub(crate) fn enter(&mut self, seq: u64, by: Publisher) {
        self.posts.push((seq, by));
    }

    pub(crate) fn leave(&mut self, seq: u64, by: Publisher) {
        if let Some(place) = self.posts.iter().position(|post| *post == (seq, by)) {
            self.posts.swap_remove(place);
        }
    }

    /// Records the first byte of `seq`. Must be called before readers can see that byte.
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

    /// Closes the empty segments before `seq` that `by` does not have open. They may belong to other
    /// publishers that are idle, and readers must not wait for these. Such a publisher then uses another
    /// number.
    fn pass_over(&self, seq: u64, by: Publisher) {
        for (&before, segment) in self.segments.range(self.next_write.min(seq)..seq) {
            if segment.is_empty() && !self.posts.contains(&(before, by)) {
                segment.end(State::Closed);
            }
        }
    }

    /// Called when the publisher `by` leaves. If others have POSTs open, this ends all segments but theirs
    /// and returns true. Otherwise it returns false and the channel should end.
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

    /// Ends the segment `seq`. Returns false if it does not exist.
    pub(crate) fn finish(&mut self, seq: u64) -> bool {
        let Some(segment) = self.segments.get(&seq) else { return false };
        segment.end(State::Closed);
        // This includes empty segments. Otherwise their readers would get the same segment again and again.
        self.advance(seq.saturating_add(1));
        true
    }

    /// Handles a POST that broke off. An empty segment ahead of the next one to be written is removed. The
    /// next one stays, because readers may be waiting for it.
    pub(crate) fn abandon(&mut self, seq: u64) {
        let is_preconnect =
            seq > self.next_write && self.segments.get(&seq).is_some_and(|segment| segment.is_empty());
        if is_preconnect && let Some(segment) = self.segments.remove(&seq) {
            segment.end(State::Closed);
        }
    }

    /// Ends the channel and all of its segments.
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

    /// Makes `next` the number that is written next and moves the window. Never goes back.
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
