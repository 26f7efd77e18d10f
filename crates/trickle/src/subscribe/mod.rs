//! The subscribing side: follows a channel segment by segment. What an answer means is `follow`'s
//! business; this file does the asking.

mod follow;
mod reader;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::BodyExt;

pub use follow::Start;
use follow::{Answered, Follow, Step};
pub use reader::SegmentReader;

use crate::client::{ClientConfig, Connection, Endpoint, Owned, RequestBody};
use crate::error::{Error, Kind};
use crate::wire;

/// Follows one channel. While a segment is read, the GET for the one after it is already open; dropping
/// the subscriber cancels that (a [`SegmentReader`] lives on by itself).
pub struct Subscriber {
    endpoint: Arc<Endpoint>,
    follow: Follow,
    ahead: Option<Owned<(Follow, Found)>>,
    ended: bool,
}

type Found = Result<Option<SegmentReader>, Error>;

impl Subscriber {
    /// A subscriber of the channel at `url`. Nothing is connected before [`next`](Self::next).
    ///
    /// # Errors
    /// A missing or malformed URL ([`Error::is_url`]).
    pub fn new(url: &str, start: Start, config: ClientConfig) -> Result<Subscriber, Error> {
        let follow = Follow::new(start, &config);
        Ok(Subscriber { endpoint: Endpoint::new(url, config)?, follow, ahead: None, ended: false })
    }

    /// The next segment, once its first byte is here; `None` when the channel has ended. Waits for as
    /// long as the channel exists. Cancel safe. Must run on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_timeout`] when the server stayed out of reach, [`Error::is_not_found`] when the channel
    /// did not appear, [`Error::is_tls`], or [`Error::status`] of a refusal. Calling again tries again.
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

    /// How many segments were jumped over, or came empty, so far.
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

/// Asks until there is a segment or a reason to stop.
async fn fetch(endpoint: Arc<Endpoint>, mut follow: Follow) -> (Follow, Found) {
    loop {
        let mut connected = None;
        let mut got = None;
        let mut cause = None;
        let answer = match get(&endpoint, &follow, &mut connected, &mut got).await {
            Ok(answer) => answer,
            Err(error) if matches!(error.kind(), Kind::Tls) => return (follow, Err(error)),
            Err(error) => {
                if follow.is_disturbed() {
                    tracing::debug!(channel = %endpoint.name(), seq = follow.seq(), ?error, "GET failed again");
                } else {
                    tracing::warn!(channel = %endpoint.name(), seq = follow.seq(), ?error, "GET failed, trying on");
                }
                cause = Some(error);
                Answered::Broken { stood: connected.map_or(Duration::ZERO, |at: Instant| at.elapsed()) }
            }
        };
        let seq = follow.seq();
        let error = |kind| {
            let error = endpoint.error(kind);
            let error = if let Some(seq) = seq { error.seq(seq) } else { error };
            if let Some(cause) = cause { error.source(cause) } else { error }
        };
        let found = match follow.answered(Instant::now(), answer) {
            Step::Read(seq) => match got {
                Some(got) => Ok(Some(SegmentReader::new(endpoint, seq, got))),
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

/// One GET, up to the first byte of its segment.
async fn get(
    endpoint: &Arc<Endpoint>,
    follow: &Follow,
    connected: &mut Option<Instant>,
    got: &mut Option<reader::Body>,
) -> Result<Answered, Error> {
    let mut connection = endpoint.connect().await?;
    *connected = Some(Instant::now());
    let renew_after = endpoint.config().renew_after;
    match tokio::time::timeout(renew_after, first_byte(endpoint, follow, &mut connection)).await {
        Err(_) => Ok(Answered::Waited),
        Ok(Err(error)) => Err(error),
        Ok(Ok((answer, None))) => {
            if matches!(answer, Answered::Empty { .. }) {
                endpoint.keep(connection);
            }
            Ok(answer)
        }
        Ok(Ok((answer, Some((head, first, body))))) => {
            *got = Some(reader::Body { connection, head, first: Some(first), rest: body });
            Ok(answer)
        }
    }
}

type Begun = (http::HeaderMap, bytes::Bytes, hyper::body::Incoming);

async fn first_byte(
    endpoint: &Arc<Endpoint>,
    follow: &Follow,
    connection: &mut Connection,
) -> Result<(Answered, Option<Begun>), Error> {
    let request = endpoint.request(Method::GET, follow.place(), &[], RequestBody::Empty)?;
    let response = connection.send(request).await.map_err(|cause| endpoint.broken(cause))?;
    let status = response.status();
    if status != StatusCode::OK {
        // The headers say it all; the connection goes with the unread body.
        let latest = wire::number(response.headers(), &wire::LATEST);
        let answered = match status {
            StatusCode::NOT_FOUND => Answered::Missing,
            status if wire::is_no_such_segment(status) => Answered::NoSuchSegment { latest },
            status => Answered::Refused(status),
        };
        return Ok((answered, None));
    }
    let (head, mut body) = response.into_parts();
    let seq = wire::number(&head.headers, &wire::SEQ);
    loop {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(first) if !first.is_empty() => {
                    return Ok((Answered::Data { seq }, Some((head.headers, first, body))));
                }
                _ => {}
            },
            Some(Err(cause)) => return Err(endpoint.broken(cause)),
            None => {
                let closed = head.headers.contains_key(wire::CLOSED);
                return Ok((Answered::Empty { seq, closed }, None));
            }
        }
    }
}
