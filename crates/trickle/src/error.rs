//! The crate's one error. It says where (channel, segment), keeps its cause, and answers questions
//! instead of showing its inside.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

/// What went wrong with a channel, where, and why.
///
/// The text is one line without the cause; the cause is [`source`](StdError::source).
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
    /// The URL cannot be used; the text says why.
    Url(String),
    /// The channel has ended, or this end of it was closed.
    Closed,
    /// There is no such channel.
    NotFound,
    /// The peer could not be reached, or did not answer, for too long.
    Timeout,
    /// The segment's buffer holds as much as it may.
    Full,
    /// The segment is lost: its connection broke after bytes had been sent, or it was given up.
    Lost,
    /// More bytes than the caller allowed.
    TooLarge,
    /// The peer's certificate, or our own TLS settings.
    Tls,
    /// No connection, or it broke.
    Connection,
    /// The server said no.
    Refused(StatusCode),
    /// The answer makes no sense.
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

    /// The channel has ended, or this side of it was closed. Nothing more will come or be taken.
    pub fn is_closed(&self) -> bool {
        matches!(self.0.kind, Kind::Closed)
    }

    /// The channel does not exist (and did not appear while we waited for it).
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, Kind::NotFound)
    }

    /// The server was out of reach, or silent, for longer than the configuration allows.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout)
    }

    /// The segment's buffer is full: this write was dropped, a later one may be taken.
    pub fn is_full(&self) -> bool {
        matches!(self.0.kind, Kind::Full)
    }

    /// This segment is lost and takes no more bytes; the next one may well succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self.0.kind, Kind::Lost)
    }

    /// The URL is missing or malformed.
    pub fn is_url(&self) -> bool {
        matches!(self.0.kind, Kind::Url(_))
    }

    /// TLS failed for good: the certificate is not trusted, or the CA file cannot be used.
    pub fn is_tls(&self) -> bool {
        matches!(self.0.kind, Kind::Tls)
    }

    /// The status with which the server refused, where it did.
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
