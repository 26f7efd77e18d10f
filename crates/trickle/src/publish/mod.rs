//! The publishing side: hands out one segment after the other, keeps the next one connected, and drops
//! what a dead or slow server does not take. Sending is `post`'s business, recovering `recover`'s.

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

/// Segments that were handed out and are not over; the one being written is among them.
const MAX_UNDER_WAY: usize = 3;

/// Publishes to one channel. While a segment is written, the POST of the one after it is already open.
/// Dropping the publisher cancels everything without telling the server; [`close`](Self::close) ends the
/// channel in order.
pub struct Publisher {
    link: Arc<Link>,
    tasks: JoinSet<()>,
    /// Handed out, oldest first.
    under_way: VecDeque<Arc<Segment>>,
    /// Preconnected, not handed out.
    ahead: Option<Arc<Segment>>,
}

impl Publisher {
    /// A publisher of segments of the MIME type `content_type` to the channel at `url`. Nothing is
    /// connected before [`segment`](Self::segment) or [`create`](Self::create).
    ///
    /// # Errors
    /// A missing or malformed URL ([`Error::is_url`]), or a type that cannot be a header.
    pub fn new(url: &str, content_type: &str, config: ClientConfig) -> Result<Publisher, Error> {
        let endpoint = Endpoint::new(url, config)?;
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|cause| endpoint.error(Kind::Protocol("the content type is malformed")).source(cause))?;
        Ok(Publisher {
            link: Arc::new(Link::new(endpoint, content_type)),
            tasks: JoinSet::new(),
            under_way: VecDeque::new(),
            ahead: None,
        })
    }

    /// Creates the channel, so that subscribers find it before its first segment. Publishing creates it
    /// as well, where the server allows that.
    ///
    /// # Errors
    /// The server is out of reach (one try), or refuses ([`Error::status`]).
    pub async fn create(&mut self) -> Result<(), Error> {
        let status = self.link.create().await?;
        if status.is_success() { Ok(()) } else { Err(self.link.endpoint.error(Kind::Refused(status))) }
    }

    /// Begins the next segment; the former one is finished if it still was open. The first call waits for
    /// the channel's next number. Later ones wait only while three segments are under way, and not longer
    /// than [`ClientConfig::patience`]; then the oldest is dropped and closed by DELETE. While the server is
    /// out of reach, a segment of which nothing could be sent makes way for the new one and leaves it its
    /// number. Cancel safe. Must run on a tokio runtime.
    ///
    /// # Errors
    /// Nothing can be published any more: [`Error::is_closed`], [`Error::is_timeout`] after the retry
    /// window, [`Error::is_not_found`], [`Error::is_tls`], or [`Error::status`] of a refusal.
    pub async fn segment(&mut self) -> Result<SegmentWriter, Error> {
        while self.tasks.try_join_next().is_some() {}
        if let Some(former) = self.under_way.back() {
            former.finish();
        }
        self.make_room().await;
        let segment = match &self.ahead {
            Some(ahead) => ahead.clone(),
            None => self.open(None),
        };
        if self.under_way.is_empty() {
            // Nothing is written yet that could be held up, and the writer wants to know its number.
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
        self.under_way.push_back(segment.clone());
        Ok(SegmentWriter { segment, ended: false })
    }

    /// Starts the task of the segment after `before` and makes it the one ahead.
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
        self.under_way.retain(|segment| !segment.is_over());
        if self.link.recover().is_unreachable() {
            for unsent in
                self.under_way.iter().filter(|segment| !matches!(segment.phase(), Phase::Sending(_)))
            {
                unsent.cut();
            }
        }
        while self.under_way.len() >= MAX_UNDER_WAY {
            let Some(oldest) = self.under_way.front() else { return };
            let mut phase = oldest.watch();
            let over = phase.wait_for(|phase| matches!(phase, Phase::Over { .. }));
            if timeout(self.link.endpoint.config().patience, over).await.is_err() {
                oldest.cut_stalled();
            }
            self.under_way.pop_front();
        }
    }

    /// Whether what is published gets to the server, from now on. Also says at once when nothing can be published any
    /// more, where [`segment`](Self::segment) does so only when it is called.
    pub fn delivery(&self) -> watch::Receiver<Delivery> {
        self.link.delivery()
    }

    /// What was published and what was dropped; the numbers go on counting.
    pub fn counters(&self) -> Arc<PublishCounters> {
        self.link.counters.clone()
    }

    /// Finishes what is under way, then ends the channel (a server of this crate keeps it for others who publish to it,
    /// if this publisher has published), all within [`ClientConfig::close_timeout`].
    ///
    /// # Errors
    /// The server could not be told. A channel that is gone already is no error.
    pub async fn close(mut self) -> Result<(), Error> {
        let longest = self.link.endpoint.config().close_timeout;
        for segment in &self.under_way {
            segment.finish();
        }
        // Half of the time for what is under way, the rest for the end itself.
        let finished = async {
            for segment in &self.under_way {
                let mut phase = segment.watch();
                let _ = phase.wait_for(|phase| matches!(phase, Phase::Over { .. })).await;
            }
        };
        let finished = timeout(longest / 2, finished).await.is_ok();
        self.tasks.abort_all();
        // Who has published leaves the channel to those who still do. Who has not can only mean to end it for all.
        let signature = self.ahead.is_some().then(|| self.link.signature());
        let asked = self.link.endpoint.ask(Method::DELETE, Place::Channel, signature.as_slice());
        let rest = if finished { longest } else { longest / 2 };
        let answer = timeout(rest, asked).await.map_err(|_| self.link.endpoint.error(Kind::Timeout))??;
        match answer.status.as_u16() {
            200..=299 | 400 | 404 => Ok(()),
            _ => Err(self.link.endpoint.error(Kind::Refused(answer.status))),
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("channel", self.link.endpoint.name()).finish_non_exhaustive()
    }
}

/// Writes one segment. Dropping it without [`finish`](Self::finish) gives the segment up: what was not
/// sent is dropped, and the server is told to close it.
pub struct SegmentWriter {
    segment: Arc<Segment>,
    ended: bool,
}

impl SegmentWriter {
    /// The segment's number. Until its first byte is sent it may still change, when a segment before it was
    /// dropped unsent, or when the number turns out to be taken.
    pub fn seq(&self) -> u64 {
        self.segment.seq()
    }

    /// Hands over `bytes` without waiting, from any thread. What is refused is dropped and counted.
    ///
    /// # Errors
    /// [`Error::is_full`]: the buffer is full, a later write may be taken. [`Error::is_lost`]: this segment
    /// takes nothing more. [`Error::is_closed`]: a later segment has begun.
    pub fn try_write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.segment.push(bytes)
    }

    /// Hands over `bytes`, waiting for room in the buffer.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write), but never full.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.segment.push_waiting(bytes).await
    }

    /// Ends the segment; what is buffered is still sent.
    pub fn finish(mut self) {
        self.ended = true;
        self.segment.finish();
    }

    /// Ends the segment and waits until the server has taken all of it, also through an outage of the server: of a
    /// segment of which nothing was sent, nothing is lost. Cancel safe: the segment is sent all the same.
    ///
    /// # Errors
    /// [`Error::is_lost`]: it is not known to have arrived whole.
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
