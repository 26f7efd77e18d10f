//! Writes one segment of a channel, for HTTP requests as well as for local publishers. The first byte
//! advances the channel, and a segment that exceeds its limit is closed.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::channel::Publisher;
use super::registry::Shared;
use super::segment::{Appended, Ending, Segment, State};
use crate::lock::lock;

pub(crate) struct Writer {
    channel: Shared,
    segment: Arc<Segment>,
    ending: Ending,
    by: Publisher,
    taken: bool,
}

impl Writer {
    /// The caller must have called [`Channel::enter`](super::channel::Channel::enter) for this segment.
    pub(crate) fn new(channel: Shared, segment: Arc<Segment>, by: Publisher) -> Writer {
        Writer { channel, ending: segment.ending(), segment, by, taken: false }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.segment.seq()
    }

    pub(crate) fn by(&self) -> Publisher {
        self.by
    }

    /// Whether this writer has written any bytes.
    pub(crate) fn has_taken(&self) -> bool {
        self.taken
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.segment.state() == State::Terminated
    }

    /// Ready as soon as the segment has ended.
    pub(crate) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.ending.poll(context)
    }

    pub(crate) fn append(&mut self, bytes: Bytes) -> Appended {
        if bytes.is_empty() {
            return Appended::Taken;
        }
        if !self.taken {
            self.taken = true;
            lock(&self.channel).begin(self.seq(), Instant::now(), self.by);
        }
        let appended = self.segment.append(bytes);
        if matches!(appended, Appended::TooLarge | Appended::NoRoom) {
            self.finish();
        }
        appended
    }

    pub(crate) fn finish(&self) {
        lock(&self.channel).finish(self.seq());
    }

    /// Stops writing without ending the segment, because the publisher may come back.
    pub(crate) fn abandon(&self) {
        lock(&self.channel).abandon(self.seq());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.channel).leave(self.seq(), self.by);
    }
}
