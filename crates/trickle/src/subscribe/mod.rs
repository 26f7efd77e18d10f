//! The subscriber: follows a channel segment by segment. This file sends the requests, `follow` decides what
//! the responses mean.

mod follow;
mod reader;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty};

pub use follow::Start;
use follow::{Answered, Follow, Step};
use reader::Begun;
pub use reader::SegmentReader;
use tokio::time::timeout;

use crate::client::{ClientConfig, Connection, Endpoint, Owned, RequestBody};
use crate::error::{Error, Kind};
use crate::wire;

/// Follows one channel. While a segment is being read, the GET of the next one is already in flight. Dropping
/// the subscriber cancels that GET, but does not affect a [`SegmentReader`].
pub struct Subscriber {
    endpoint: Arc<Endpoint>,
    follow: Follow,
    ahead: Option<Owned<(Follow, Found)>>,
    ended: bool,
}

type Found = Result<Option<SegmentReader>, Error>;

impl Subscriber {
    /// Creates a subscriber of the channel at `url`. It does not connect before [`next`](Self::next).
    ///
    /// # Errors
    /// The URL is missing or malformed ([`Error::is_url`]).
    pub fn new(url: &str, start: Start, config: ClientConfig) -> Result<Subscriber, Error> {
        let follow = Follow::new(start, &config);
        Ok(Subscriber { endpoint: Endpoint::new(url, config)?, follow, ahead: None, ended: false })
    }

    /// Returns the next segment as soon as its first byte has arrived, or `None` if the channel has ended.
    /// Waits for as long as the channel exists. This method is cancel safe and requires a tokio runtime.
    ///
    /// # Errors
    /// The server remained unreachable ([`Error::is_timeout`]), the channel did not appear
    /// ([`Error::is_not_found`]), TLS failed ([`Error::is_tls`]), or the server refused the request
    /// ([`Error::status`]). It is possible to call this method again.
    pub async fn next(&mut self) -> Result<Option<SegmentReader>, Error> {
        if self.ended {
            return Ok(None);
        }
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            none => none.insert(fetch_ahead(&self.endpoint, &self.follow)),
        };
        let outcome = (&mut ahead.0).await;
        self.ahead = None;
        let (follow, found) = outcome.map_err(|cause| self.endpoint.error(Kind::Closed).source(cause))?;
        self.follow = follow;
        match &found {
            Ok(Some(_)) => self.ahead = Some(fetch_ahead(&self.endpoint, &self.follow)),
            Ok(None) => self.ended = true,
            Err(_) => {}
        }
        found
    }

    /// How many segments were skipped or empty so far.
    pub fn skipped(&self) -> u64 {
        self.follow.skipped()
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("channel", self.endpoint.name()).finish_non_exhaustive()
    }
}

fn fetch_ahead(endpoint: &Arc<Endpoint>, follow: &Follow) -> Owned<(Follow, Found)> {
    Owned(tokio::spawn(fetch(endpoint.clone(), follow.clone())))
}

/// Sends requests until there is a segment or a reason to stop.
async fn fetch(endpoint: Arc<Endpoint>, mut follow: Follow) -> (Follow, Found) {
    loop {
        let mut connected = None;
        let mut cause = None;
        let (answer, begun) = match get(&endpoint, &follow, &mut connected).await {
            Ok(answered) => answered,
            Err(error) if matches!(error.kind(), Kind::Tls) => return (follow, Err(error)),
            Err(error) => {
                let (channel, seq) = (endpoint.name(), follow.seq());
                if follow.is_disturbed() {
                    tracing::debug!(%channel, seq, ?error, "GET failed again");
                } else {
                    tracing::warn!(%channel, seq, ?error, "GET failed, retrying");
                }
                cause = Some(error);
                let stood = connected.map_or(Duration::ZERO, |at: Instant| at.elapsed());
                (Answered::Broken { stood }, None)
            }
        };
        let seq = follow.seq();
        let error = |kind| {
            let error = endpoint.error(kind);
            let error = if let Some(seq) = seq { error.seq(seq) } else { error };
            if let Some(cause) = cause { error.source(cause) } else { error }
        };
        let found = match follow.answered(Instant::now(), answer) {
            Step::Read(seq) => match begun {
                Some(begun) => Ok(Some(SegmentReader::new(endpoint, seq, begun))),
                None => continue,
            },
            Step::Ask(after) => {
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                continue;
            }
            Step::End => Ok(None),
            Step::NotFound => Err(error(Kind::NotFound)),
            Step::TimedOut => Err(error(Kind::Timeout)),
            Step::Refused(status) => Err(error(Kind::Refused(status))),
            Step::Unnumbered => Err(error(Kind::Protocol("the server does not number its segments"))),
        };
        return (follow, found);
    }
}

/// Sends one GET and waits for the first byte of its segment.
async fn get(
    endpoint: &Endpoint,
    follow: &Follow,
    connected: &mut Option<Instant>,
) -> Result<(Answered, Option<Begun>), Error> {
    let connection = endpoint.connect().await?;
    *connected = Some(Instant::now());
    let first_byte = first_byte(endpoint, follow, connection);
    timeout(endpoint.config().renew_after, first_byte).await.unwrap_or(Ok((Answered::Waited, None)))
}

async fn first_byte(
    endpoint: &Endpoint,
    follow: &Follow,
    mut connection: Connection,
) -> Result<(Answered, Option<Begun>), Error> {
    let request = endpoint.request(Method::GET, follow.place(), &[], RequestBody::Left(Empty::new()))?;
    let response = connection.send(request).await.map_err(|cause| endpoint.broken(cause))?;
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        // The body is not needed, so it is not read and the connection is closed.
        let answered = match head.status {
            StatusCode::NOT_FOUND => Answered::Missing,
            status if wire::is_no_such_segment(status) => {
                Answered::NoSuchSegment { latest: wire::number(&head.headers, &wire::LATEST) }
            }
            status => Answered::Refused(status),
        };
        return Ok((answered, None));
    }
    let seq = wire::number(&head.headers, &wire::SEQ);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| endpoint.broken(cause))?;
        if let Ok(first) = frame.into_data()
            && !first.is_empty()
        {
            let begun = Begun { connection, headers: head.headers, first, rest: body };
            return Ok((Answered::Data { seq }, Some(begun)));
        }
    }
    endpoint.keep(connection);
    let closed = head.headers.contains_key(wire::CLOSED);
    Ok((Answered::Empty { seq, closed }, None))
}
