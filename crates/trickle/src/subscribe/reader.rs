//! One segment as it arrives.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::client::{Connection, Endpoint};
use crate::error::{Error, Kind};

/// An answer whose first byte has come.
pub(super) struct Body {
    pub(super) connection: Connection,
    pub(super) head: HeaderMap,
    pub(super) first: Option<Bytes>,
    pub(super) rest: Incoming,
}

/// Reads one segment while it is being written. Dropping it early closes its connection.
pub struct SegmentReader {
    endpoint: Arc<Endpoint>,
    seq: u64,
    content_type: Option<String>,
    body: Option<(Connection, Incoming)>,
    first: Option<Bytes>,
    complete: bool,
}

impl SegmentReader {
    pub(super) fn new(endpoint: Arc<Endpoint>, seq: u64, body: Body) -> SegmentReader {
        let content_type = body.head.get(header::CONTENT_TYPE);
        SegmentReader {
            endpoint,
            seq,
            content_type: content_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
            first: body.first,
            body: Some((body.connection, body.rest)),
            complete: false,
        }
    }

    /// The segment's number.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The channel's type, as the server says it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The next bytes, as they come; `None` at the end of the segment, also when it broke off there:
    /// [`is_complete`](Self::is_complete) tells. Cancel safe.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let (_, body) = self.body.as_mut()?;
            let frame = tokio::time::timeout(self.endpoint.config().read_timeout, body.frame()).await;
            match frame {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Some(bytes),
                    _ => {}
                },
                Ok(None) => {
                    self.complete = true;
                    if let Some((connection, _)) = self.body.take() {
                        self.endpoint.keep(connection);
                    }
                    return None;
                }
                broken => {
                    let why = match broken {
                        Ok(Some(Err(cause))) => cause.to_string(),
                        _ => "no byte within the read timeout".to_owned(),
                    };
                    tracing::debug!(channel = %self.endpoint.name(), seq = self.seq, why, "segment broke off");
                    self.body = None;
                    return None;
                }
            }
        }
    }

    /// Whether the segment was read to its end. False while it is being read, and for good when its
    /// connection broke or went silent; bytes read until then are its true beginning.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The rest of the segment in one piece, for channels whose segments are documents.
    ///
    /// # Errors
    /// The segment is larger than `limit` bytes, or broke off ([`Error::is_lost`]).
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let error = |reader: &SegmentReader, kind| Err(reader.endpoint.error(kind).seq(reader.seq));
        let Some(first) = self.chunk().await else {
            return if self.complete { Ok(Bytes::new()) } else { error(self, Kind::Lost) };
        };
        let mut whole: Option<BytesMut> = None;
        let mut length = first.len();
        while length <= limit {
            match self.chunk().await {
                Some(more) => {
                    length = length.saturating_add(more.len());
                    if length <= limit {
                        whole.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&more);
                    }
                }
                None if self.complete => return Ok(whole.map_or(first, BytesMut::freeze)),
                None => return error(self, Kind::Lost),
            }
        }
        self.body = None;
        error(self, Kind::TooLarge)
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader").field("seq", &self.seq).finish_non_exhaustive()
    }
}
