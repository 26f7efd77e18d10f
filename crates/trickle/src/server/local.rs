//! Publishing and subscribing within the server's process. Segments are those that HTTP clients see, and
//! the bytes are the same memory. The rules are the same too: nobody waits for a slow reader, who loses
//! what leaves the window, and a segment is bounded by
//! [`ServerConfig::max_segment_bytes`](super::ServerConfig::max_segment_bytes).

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::channel::{Index, Read, Write};
use super::registry::{NoChannel, Registry, Shared, lock};
use super::segment::{Appended, Reader, State};
use super::writer::Writer;
use crate::error::{Error, Kind};
use crate::subscribe::Start;

fn error(kind: Kind, channel: &Arc<str>) -> Error {
    Error::new(kind).channel(channel)
}

/// Publishes to a channel of this process' own server; from
/// [`Service::publisher`](super::Service::publisher). Dropping it leaves the channel as it is.
pub struct LocalPublisher {
    registry: Arc<Registry>,
    name: Arc<str>,
    channel: Shared,
    /// The segment handed out last, which the next one finishes.
    former: Option<u64>,
}

impl LocalPublisher {
    pub(super) fn new(registry: Arc<Registry>, name: &str, content_type: &str) -> Result<Self, Error> {
        let shared: Arc<str> = name.into();
        if name.is_empty() || name.contains('/') {
            let why = "a channel's name is one part of a path";
            return Err(error(Kind::Url(why.into()), &shared));
        }
        if registry.is_reserved(name) {
            return Err(error(Kind::Refused(StatusCode::BAD_REQUEST), &shared));
        }
        let channel =
            registry.find_or_create(name, content_type, Instant::now()).map_err(|why| match why {
                NoChannel::Missing => error(Kind::NotFound, &shared),
                NoChannel::Full => error(Kind::Refused(StatusCode::SERVICE_UNAVAILABLE), &shared),
            })?;
        Ok(LocalPublisher { registry, name: shared, channel, former: None })
    }

    /// Begins the next segment; the former one is finished if it still was open. The first one is a
    /// restart: segments that an earlier publisher left open are closed.
    ///
    /// # Errors
    /// [`Error::is_closed`]: the channel has ended.
    pub fn segment(&mut self) -> Result<LocalSegmentWriter, Error> {
        let mut channel = lock(&self.channel);
        if let Some(former) = self.former {
            channel.finish(former);
        }
        let Write::Open(segment) = channel.write(None, self.former.is_none(), None) else {
            return Err(error(Kind::Closed, &self.name));
        };
        channel.enter(segment.seq(), None);
        drop(channel);
        self.former = Some(segment.seq());
        Ok(LocalSegmentWriter {
            name: self.name.clone(),
            writer: Writer::new(self.channel.clone(), segment, None),
        })
    }

    /// Ends the channel for everyone. One of the same name that was made since is left alone.
    pub fn close(self) {
        self.registry.remove_this(&self.name, &self.channel, Instant::now());
    }
}

impl fmt::Debug for LocalPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPublisher").field("channel", &self.name).finish_non_exhaustive()
    }
}

/// Writes one segment. Dropping it finishes the segment.
pub struct LocalSegmentWriter {
    name: Arc<str>,
    writer: Writer,
}

impl LocalSegmentWriter {
    /// The segment's number.
    pub fn seq(&self) -> u64 {
        self.writer.seq()
    }

    /// Gives `bytes` to all readers, without a copy and without waiting, from any thread.
    ///
    /// # Errors
    /// [`Error::is_closed`]: the channel has ended. [`Error::is_lost`]: the segment was closed by others,
    /// or left the window. A segment that would grow beyond its limit, or for which there is no room
    /// ([`Error::status`] 507), is closed without these bytes.
    pub fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let kind = match self.writer.append(bytes) {
            Appended::Taken => return Ok(()),
            Appended::TooLarge => Kind::TooLarge,
            Appended::NoRoom => Kind::Refused(StatusCode::INSUFFICIENT_STORAGE),
            Appended::Ended if self.writer.is_terminated() => Kind::Closed,
            Appended::Ended => Kind::Lost,
        };
        Err(error(kind, &self.name).seq(self.seq()))
    }

    /// Ends the segment.
    pub fn finish(self) {}
}

impl Drop for LocalSegmentWriter {
    fn drop(&mut self) {
        self.writer.finish();
    }
}

impl fmt::Debug for LocalSegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSegmentWriter").field("seq", &self.seq()).finish_non_exhaustive()
    }
}

/// Follows a channel of this process' own server; from
/// [`Service::subscriber`](super::Service::subscriber).
pub struct LocalSubscriber {
    name: Arc<str>,
    channel: Shared,
    place: Index,
    skipped: u64,
}

impl LocalSubscriber {
    pub(super) fn new(registry: &Registry, name: &str, start: Start) -> Result<Self, Error> {
        let shared: Arc<str> = name.into();
        let channel = registry.find(name).map_err(|_| error(Kind::NotFound, &shared))?;
        let place = match start {
            Start::Next => Index::Next,
            Start::Current => Index::Current,
            Start::Seq(seq) => Index::At(seq),
        };
        Ok(LocalSubscriber { name: shared, channel, place, skipped: 0 })
    }

    /// The next segment, once its first byte is here; `None` when the channel has ended. A subscriber that
    /// fell out of the window goes on with the segment that is written next. Cancel safe.
    pub async fn next(&mut self) -> Option<LocalSegmentReader> {
        loop {
            let segment = {
                let mut channel = lock(&self.channel);
                match channel.read(self.place) {
                    Read::Segment(segment) => segment,
                    Read::Missing { .. } if channel.is_terminated() => return None,
                    Read::Missing { seq } => {
                        let latest = channel.next_write();
                        self.skipped = self.skipped.saturating_add(latest.saturating_sub(seq));
                        self.place = if latest < seq { Index::Current } else { Index::At(latest) };
                        continue;
                    }
                }
            };
            // The number is known from here on, also to a call that comes after a cancelled one.
            self.place = Index::At(segment.seq());
            let mut rest = segment.reader();
            let first = poll_fn(|context| rest.poll_next(context)).await;
            self.place = Index::At(segment.seq().saturating_add(1));
            if first.is_some() {
                let (name, channel) = (self.name.clone(), self.channel.clone());
                return Some(LocalSegmentReader { name, seq: segment.seq(), channel, first, rest });
            }
            if segment.state() == State::Terminated {
                return None;
            }
            self.skipped = self.skipped.saturating_add(1);
        }
    }

    /// How many segments were jumped over, or came empty, so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl fmt::Debug for LocalSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSubscriber").field("channel", &self.name).finish_non_exhaustive()
    }
}

/// Reads one segment while it is being written. It keeps the segment in memory, also when the window has
/// left it behind.
pub struct LocalSegmentReader {
    name: Arc<str>,
    seq: u64,
    channel: Shared,
    first: Option<Bytes>,
    rest: Reader,
}

impl LocalSegmentReader {
    /// The segment's number.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The channel's type.
    pub fn content_type(&self) -> String {
        lock(&self.channel).content_type().to_owned()
    }

    /// The next bytes, in the pieces in which they were written; `None` at the segment's end. Cancel safe.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        // What is there already must not keep the thread from others.
        tokio::task::coop::consume_budget().await;
        poll_fn(|context| self.rest.poll_next(context)).await
    }

    /// The rest of the segment in one piece, for channels whose segments are documents.
    ///
    /// # Errors
    /// The segment is larger than `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await {
            if whole.len().saturating_add(bytes.len()) > limit {
                return Err(error(Kind::TooLarge, &self.name).seq(self.seq));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

impl fmt::Debug for LocalSegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSegmentReader").field("seq", &self.seq).finish_non_exhaustive()
    }
}
