//! The publisher: hands out one segment after another, connects the next one in advance, and drops what a
//! dead or slow server does not take. `post` sends the segments and `recover` handles failures.

mod counters;
mod delivery;
mod post;
mod recover;
mod segment;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{ClientConfig, Endpoint, Place};
use crate::error::{Error, Kind};
pub use counters::PublishCounters;
pub use delivery::Delivery;
use post::{Link, post};
pub(crate) use segment::SegmentSource;
use segment::{Phase, Segment};

/// The number of segments that may be in flight, including the one being written.
const MAX_IN_FLIGHT: usize = 3;

/// Publishes to one channel. While a segment is being written, the POST of the next one is already open.
/// Dropping the publisher cancels everything without informing the server. Use [`close`](Self::close) to end
/// the channel properly.
pub struct Publisher {
    link: Arc<Link>,
    tasks: JoinSet<()>,
    /// The segments that were handed out and are not complete, oldest first.
    in_flight: VecDeque<Arc<Segment>>,
    /// The next segment, which is connected but not handed out yet.
    ahead: Option<Arc<Segment>>,
}

impl Publisher {
    /// Creates a publisher for the channel at `url`, with `content_type` as the MIME type of its segments. It
    /// does not connect before [`segment`](Self::segment) or [`create`](Self::create).
    ///
    /// # Errors
    /// The URL is missing or malformed ([`Error::is_url`]), or the content type is not a valid header value.
    pub fn new(url: &str, content_type: &str, config: ClientConfig) -> Result<Publisher, Error> {
        let endpoint = Endpoint::new(url, config)?;
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|cause| endpoint.error(Kind::Protocol("the content type is malformed")).source(cause))?;
        Ok(Publisher {
            link: Arc::new(Link::new(endpoint, content_type)),
            tasks: JoinSet::new(),
            in_flight: VecDeque::new(),
            ahead: None,
        })
    }

    /// Creates the channel, so that subscribers find it before the first segment. This is optional if the
    /// server creates channels on the first POST.
    ///
    /// # Errors
    /// The server is unreachable, which is not retried, or it refuses the request ([`Error::status`]).
    pub async fn create(&mut self) -> Result<(), Error> {
        let status = self.link.create().await?;
        if status.is_success() { Ok(()) } else { Err(self.link.endpoint.error(Kind::Refused(status))) }
    }

    /// Begins the next segment and finishes the previous one if it is still open. The first call waits for
    /// the next number of the channel. Later calls only wait while three segments are in flight, for at
    /// most [`ClientConfig::patience`]. After that the oldest segment is dropped and closed with a DELETE.
    /// While the server is unreachable, a segment of which nothing was sent is dropped and the new one
    /// takes its number. This method is cancel safe and requires a tokio runtime.
    ///
    /// # Errors
    /// Nothing can be published any more, because the channel has ended ([`Error::is_closed`]), the retry
    /// window is over ([`Error::is_timeout`]), the channel does not exist ([`Error::is_not_found`]), TLS
    /// failed ([`Error::is_tls`]), or the server refused the request ([`Error::status`]).
    pub async fn segment(&mut self) -> Result<SegmentWriter, Error> {
        while self.tasks.try_join_next().is_some() {}
        if let Some(former) = self.in_flight.back() {
            former.finish();
        }
        self.make_room().await;
        let segment = match &self.ahead {
            Some(ahead) => ahead.clone(),
            None => self.open(None),
        };
        if self.in_flight.is_empty() {
            // Waiting delays no other segment here, and it lets the writer know its number from the start.
            let mut phase = segment.watch();
            let known = phase.wait_for(|phase| *phase != Phase::Unnumbered).await.map(|_| ());
            if known.is_err() || segment.is_over() {
                self.ahead = None;
            }
        }
        if let Some(failure) = self.link.failure() {
            return Err(failure);
        }
        self.open(Some(&segment));
        self.in_flight.push_back(segment.clone());
        Ok(SegmentWriter { segment, ended: false })
    }

    /// Creates the segment after `before`, starts its task and stores it in `ahead`.
    fn open(&mut self, before: Option<&Arc<Segment>>) -> Arc<Segment> {
        let link = &self.link;
        let capacity = link.endpoint.config().segment_buffer;
        let expected = before.map_or(0, |before| before.seq().saturating_add(1));
        let segment = Segment::new(expected, capacity, link.counters.clone(), link.endpoint.name().clone());
        let before = before.map(|before| before.watch());
        self.tasks.spawn(post(link.clone(), segment.clone(), before));
        self.ahead = Some(segment.clone());
        segment
    }

    async fn make_room(&mut self) {
        self.in_flight.retain(|segment| !segment.is_over());
        if self.link.recover().is_unreachable() {
            for segment in &self.in_flight {
                if !matches!(segment.phase(), Phase::Sending(_)) {
                    segment.cut();
                }
            }
        }
        while self.in_flight.len() >= MAX_IN_FLIGHT {
            let Some(oldest) = self.in_flight.front() else { return };
            let mut phase = oldest.watch();
            let over = phase.wait_for(|phase| matches!(phase, Phase::Over { .. }));
            if timeout(self.link.endpoint.config().patience, over).await.is_err() {
                oldest.cut_stalled();
            }
            self.in_flight.pop_front();
        }
    }

    /// Watches whether the server receives what is published. It also reports at once that nothing can be
    /// published any more, while [`segment`](Self::segment) reports it only on the next call.
    pub fn delivery(&self) -> watch::Receiver<Delivery> {
        self.link.delivery()
    }

    /// The counters of this publisher. They continue to be updated.
    pub fn counters(&self) -> Arc<PublishCounters> {
        self.link.counters.clone()
    }

    /// Finishes the segments in flight and ends the channel, within [`ClientConfig::close_timeout`]. A
    /// server of this crate keeps the channel if others are publishing to it and this publisher has begun a
    /// segment.
    ///
    /// # Errors
    /// The server could not be informed. It is not an error if the channel is gone already.
    pub async fn close(mut self) -> Result<(), Error> {
        let limit = self.link.endpoint.config().close_timeout;
        for segment in &self.in_flight {
            segment.finish();
        }
        // Half of the time is for the segments in flight, the rest is for ending the channel.
        let finished = async {
            for segment in &self.in_flight {
                let mut phase = segment.watch();
                let _ = phase.wait_for(|phase| matches!(phase, Phase::Over { .. })).await;
            }
        };
        let finished = timeout(limit / 2, finished).await.is_ok();
        self.tasks.abort_all();
        // A publisher that identifies itself only leaves the channel, and others may continue. Closing one
        // that has not begun a segment must end the channel for everyone, so it does not identify itself.
        let signature = self.ahead.is_some().then(|| self.link.signature());
        let asked = self.link.endpoint.ask(Method::DELETE, Place::Channel, signature.as_slice());
        let rest = if finished { limit } else { limit / 2 };
        let answer = timeout(rest, asked).await.map_err(|_| self.link.endpoint.error(Kind::Timeout))??;
        match answer.status().as_u16() {
            200..=299 | 400 | 404 => Ok(()),
            _ => Err(self.link.endpoint.error(Kind::Refused(answer.status()))),
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("channel", self.link.endpoint.name()).finish_non_exhaustive()
    }
}

/// Writes one segment. Dropping it without [`finish`](Self::finish) drops the bytes that were not sent and
/// closes the segment on the server.
pub struct SegmentWriter {
    segment: Arc<Segment>,
    ended: bool,
}

impl SegmentWriter {
    /// The number of the segment. It may change until the first byte is sent, because an earlier segment
    /// may be dropped before it is sent, or because the number may already be in use.
    pub fn seq(&self) -> u64 {
        self.segment.seq()
    }

    /// Writes `bytes` without waiting. This works on any thread. Bytes that are refused are dropped and
    /// counted.
    ///
    /// # Errors
    /// The buffer is full and a later write may succeed ([`Error::is_full`]), the segment is lost
    /// ([`Error::is_lost`]), or a later segment has begun ([`Error::is_closed`]).
    pub fn try_write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.segment.push(bytes)
    }

    /// Writes `bytes` as soon as there is room in the buffer.
    ///
    /// # Errors
    /// Like [`try_write`](Self::try_write), except that a full buffer is not an error.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.segment.push_waiting(bytes).await
    }

    /// Ends the segment. Bytes in the buffer are still sent.
    pub fn finish(mut self) {
        self.ended = true;
        self.segment.finish();
    }

    /// Ends the segment and waits until the server has received all of it. If the server is unreachable
    /// before the first byte was sent, this waits for its return. If this is cancelled, the segment is
    /// still sent.
    ///
    /// # Errors
    /// The segment may not have arrived completely ([`Error::is_lost`]).
    pub async fn delivered(mut self) -> Result<(), Error> {
        self.ended = true;
        self.segment.finish();
        let mut phase = self.segment.watch();
        let over = phase.wait_for(|phase| matches!(phase, Phase::Over { .. })).await;
        match over.map(|phase| *phase) {
            Ok(Phase::Over { taken: true, .. }) => Ok(()),
            _ => Err(self.segment.error(Kind::Lost)),
        }
    }
}

impl fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentWriter").field("seq", &self.seq()).finish_non_exhaustive()
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.ended && self.segment.is_open() {
            self.segment.cut();
        }
    }
}
