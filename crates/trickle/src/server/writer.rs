//! Writing one segment of a channel, whoever does it: the head moves with the first byte, and a segment
//! that grows beyond its limit is closed.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::channel::Publisher;
use super::registry::{Shared, lock};
use super::segment::{Appended, Ending, Segment, State};

pub(crate) struct Writer {
    channel: Shared,
    segment: Arc<Segment>,
    ending: Ending,
    by: Publisher,
    taken: bool,
}

impl Writer {
    /// For a segment that [`Channel::enter`](super::channel::Channel::enter) was told of.
    pub(crate) fn new(channel: Shared, segment: Arc<Segment>, by: Publisher) -> Writer {
        Writer { channel, ending: segment.ending(), segment, by, taken: false }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.segment.seq()
    }

    pub(crate) fn by(&self) -> Publisher {
        self.by
    }

    /// Whether a byte has been written here.
    pub(crate) fn has_taken(&self) -> bool {
        self.taken
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.segment.state() == State::Terminated
    }

    /// Ready when the segment takes nothing more.
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

    /// Nobody writes here any more, but somebody may come back.
    pub(crate) fn abandon(&self) {
        lock(&self.channel).abandon(self.seq());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.channel).leave(self.seq(), self.by);
    }
}
