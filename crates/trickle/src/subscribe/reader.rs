//! Reads one segment while it arrives.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::client::{Connection, Endpoint};
use crate::error::{Error, Kind};

/// A response whose first byte has arrived.
pub(super) struct Begun {
    pub(super) connection: Connection,
    pub(super) headers: HeaderMap,
    pub(super) first: Bytes,
    pub(super) rest: Incoming,
}

/// Reads one segment while it is being written. Dropping it before the end closes its connection.
pub struct SegmentReader {
    endpoint: Arc<Endpoint>,
    seq: u64,
    content_type: Option<String>,
    body: Option<(Connection, Incoming)>,
    first: Option<Bytes>,
    complete: bool,
}

impl SegmentReader {
    pub(super) fn new(endpoint: Arc<Endpoint>, seq: u64, begun: Begun) -> SegmentReader {
        let content_type = begun.headers.get(header::CONTENT_TYPE);
        SegmentReader {
            endpoint,
            seq,
            content_type: content_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
            first: Some(begun.first),
            body: Some((begun.connection, begun.rest)),
            complete: false,
        }
    }

    /// The number of the segment.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The content type of the channel, if the server sends one.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns the next bytes as they arrive, or `None` if no more will come. Use
    /// [`is_complete`](Self::is_complete) to find out whether the segment ended or broke off. This method is
    /// cancel safe.
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
                        _ => "no bytes within the read timeout".to_owned(),
                    };
                    let channel = self.endpoint.name();
                    tracing::debug!(%channel, seq = self.seq, why, "the segment broke off");
                    self.body = None;
                    return None;
                }
            }
        }
    }

    /// Whether the segment was read to its end. This is false while it is being read, and remains false if
    /// the connection broke or fell silent. The bytes read until then are the beginning of the segment.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Reads the rest of the segment into one buffer, for channels whose segments are documents.
    ///
    /// # Errors
    /// The segment is larger than `limit` bytes, or it broke off ([`Error::is_lost`]).
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
