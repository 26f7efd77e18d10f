//! The body of a response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::segment::Reader;
use crate::error::{Error, Kind};

/// The body of a response of a trickle server: empty, a line of text, or a segment while it is being
/// written. It fails if the rest of a segment was evicted from memory. The response then breaks off, so
/// that the reader does not mistake it for the whole segment.
pub struct SegmentBody {
    first: Option<Bytes>,
    rest: Option<Reader>,
}

impl SegmentBody {
    pub(crate) fn empty() -> SegmentBody {
        SegmentBody { first: None, rest: None }
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> SegmentBody {
        SegmentBody { first: Some(text.into()), rest: None }
    }

    pub(crate) fn segment(first: Bytes, rest: Reader) -> SegmentBody {
        SegmentBody { first: Some(first), rest: Some(rest) }
    }
}

impl fmt::Debug for SegmentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentBody").field("size", &self.size_hint().exact()).finish_non_exhaustive()
    }
}

impl Body for SegmentBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut this.rest {
            Some(rest) => rest.poll_next(context).map(|next| match next {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None => rest.is_cut_short().then(|| Err(Error::new(Kind::Lost))),
            }),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Reader::is_at_end)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        match &self.rest {
            None => SizeHint::with_exact(first),
            Some(rest) => match rest.remaining() {
                Some(remaining) => SizeHint::with_exact(first.saturating_add(remaining)),
                None => SizeHint::default(),
            },
        }
    }
}
