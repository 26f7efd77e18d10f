//! The error type of this crate. It is opaque, names the channel and the segment, and keeps its cause.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

/// An error of a channel.
///
/// Its text is a single line that does not include the cause. Use [`source`](StdError::source) for that.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    channel: Option<Arc<str>>,
    seq: Option<u64>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The URL cannot be used, for the reason given.
    Url(String),
    /// The channel has ended, or this side of it was closed.
    Closed,
    /// The channel does not exist.
    NotFound,
    /// The peer was unreachable or did not answer for too long.
    Timeout,
    /// The buffer of the segment is full.
    Full,
    /// The segment is lost, because it was dropped or its connection broke after bytes had been sent.
    Lost,
    /// The segment is larger than the caller allows.
    TooLarge,
    /// The certificate of the peer or our own TLS settings are invalid.
    Tls,
    /// Connecting failed, or the connection broke.
    Connection,
    /// The server refused the request.
    Refused(StatusCode),
    /// A request or response does not follow the protocol.
    Protocol(&'static str),
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Error {
        Error(Arc::new(Inner { kind, channel: None, seq: None, source: None }))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Error {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Error(Arc::new(inner))
    }

    pub(crate) fn channel(self, channel: &Arc<str>) -> Error {
        self.with(|inner| inner.channel = Some(channel.clone()))
    }

    pub(crate) fn seq(self, seq: u64) -> Error {
        self.with(|inner| inner.seq = Some(seq))
    }

    pub(crate) fn source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        let source = source.into();
        self.with(|inner| inner.source = Some(Arc::from(source)))
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The channel has ended, or this side of it was closed. No more bytes can be read or written.
    pub fn is_closed(&self) -> bool {
        matches!(self.0.kind, Kind::Closed)
    }

    /// The channel does not exist, and did not appear within the time limit.
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, Kind::NotFound)
    }

    /// The server was unreachable or silent for longer than the configuration allows.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout)
    }

    /// The buffer of the segment is full. This write was dropped; a later one may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self.0.kind, Kind::Full)
    }

    /// The segment is lost and accepts no more bytes. The next segment may succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self.0.kind, Kind::Lost)
    }

    /// The URL is missing or malformed.
    pub fn is_url(&self) -> bool {
        matches!(self.0.kind, Kind::Url(_))
    }

    /// TLS failed in a way that a retry cannot fix: an untrusted certificate or an unusable CA file.
    pub fn is_tls(&self) -> bool {
        matches!(self.0.kind, Kind::Tls)
    }

    /// The status code, if the server refused the request.
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Refused(status) => Some(status.as_u16()),
            Kind::NotFound => Some(404),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(channel) = &self.0.channel {
            write!(f, "{channel}")?;
            if let Some(seq) = self.0.seq {
                write!(f, " segment {seq}")?;
            }
            f.write_str(": ")?;
        }
        match &self.0.kind {
            Kind::Url(why) => f.write_str(why),
            Kind::Closed => f.write_str("the channel is closed"),
            Kind::NotFound => f.write_str("no such channel"),
            Kind::Timeout => f.write_str("the trickle server did not answer in time"),
            Kind::Full => f.write_str("the segment's buffer is full"),
            Kind::Lost => f.write_str("the segment is lost"),
            Kind::TooLarge => f.write_str("the segment is larger than allowed"),
            Kind::Tls => f.write_str("TLS failed"),
            Kind::Connection => f.write_str("the connection failed"),
            Kind::Refused(status) => write!(f, "the trickle server answered {}", status.as_u16()),
            Kind::Protocol(what) => f.write_str(what),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}")?;
        if let Some(source) = &self.0.source {
            write!(f, "; {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
