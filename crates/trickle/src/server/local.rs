//! Publishing and subscribing within the process of the server. HTTP clients see the same segments, and the
//! bytes are shared. The same rules apply: a slow reader delays nobody and loses segments that leave the
//! window, and [`ServerConfig::max_segment_bytes`](super::ServerConfig::max_segment_bytes) limits each
//! segment.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::channel::{Index, Read, Write};
use super::registry::{NoChannel, Registry, Shared};
use super::segment::{Appended, Reader, State};
use super::writer::Writer;
use crate::error::{Error, Kind};
use crate::lock::lock;
use crate::subscribe::Start;

fn error(kind: Kind, channel: &Arc<str>) -> Error {
    Error::new(kind).channel(channel)
}

/// Publishes to a channel of a server in this process. Created by
/// [`Service::publisher`](super::Service::publisher). Dropping it does not end the channel.
pub struct LocalPublisher {
    registry: Arc<Registry>,
    name: Arc<str>,
    channel: Shared,
    /// The last segment that was handed out. It is finished when the next one begins.
    previous: Option<u64>,
}

impl LocalPublisher {
    pub(super) fn new(registry: Arc<Registry>, name: &str, content_type: &str) -> Result<Self, Error> {
        let shared: Arc<str> = name.into();
        if name.is_empty() || name.contains('/') {
            let why = "a channel name must be a single path segment";
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
        Ok(LocalPublisher { registry, name: shared, channel, previous: None })
    }

    /// Begins the next segment and finishes the previous one if it is still open. The first call also
    /// closes the segments that an earlier publisher left open.
    ///
    /// # Errors
    /// The channel has ended ([`Error::is_closed`]).
    pub fn segment(&mut self) -> Result<LocalSegmentWriter, Error> {
        let mut channel = lock(&self.channel);
        if let Some(previous) = self.previous {
            channel.finish(previous);
        }
        let Write::Open(segment) = channel.write(None, self.previous.is_none(), None) else {
            return Err(error(Kind::Closed, &self.name));
        };
        channel.enter(segment.seq(), None);
        drop(channel);
        self.previous = Some(segment.seq());
        Ok(LocalSegmentWriter {
            name: self.name.clone(),
            writer: Writer::new(self.channel.clone(), segment, None),
        })
    }

    /// Ends the channel for everyone. Does not affect a new channel with the same name.
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
    /// The number of the segment.
    pub fn seq(&self) -> u64 {
        self.writer.seq()
    }

    /// Passes `bytes` to all readers, without copying them and without waiting. This works on any thread.
    ///
    /// # Errors
    /// The channel has ended ([`Error::is_closed`]), or the segment was closed by someone else or left the
    /// window ([`Error::is_lost`]). If the segment would exceed its limit, or if the server has no room for
    /// it ([`Error::status`] 507), it is closed without these bytes.
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

/// Follows a channel of a server in this process. Created by
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

    /// Returns the next segment as soon as its first byte has been written, or `None` if the channel has
    /// ended. A subscriber that falls out of the window continues with the segment that will be written
    /// next. This method is cancel safe.
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
            // If this call is cancelled, the next one continues with the same segment.
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

    /// How many segments were skipped or empty so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl fmt::Debug for LocalSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSubscriber").field("channel", &self.name).finish_non_exhaustive()
    }
}

/// Reads one segment while it is being written. The segment remains in memory for as long as this exists,
/// even after it has left the window.
pub struct LocalSegmentReader {
    name: Arc<str>,
    seq: u64,
    channel: Shared,
    first: Option<Bytes>,
    rest: Reader,
}

impl LocalSegmentReader {
    /// The number of the segment.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The content type of the channel.
    pub fn content_type(&self) -> String {
        lock(&self.channel).content_type().to_owned()
    }

    /// Returns the next bytes as they were written, or `None` at the end of the segment. This method is
    /// cancel safe.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        // A segment with many buffered chunks must not block other tasks.
        tokio::task::coop::consume_budget().await;
        poll_fn(|context| self.rest.poll_next(context)).await
    }

    /// Reads the rest of the segment into one buffer, for channels whose segments are documents.
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
