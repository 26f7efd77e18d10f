//! One HTTP/1.1 connection of a client, driven by a task that ends with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Owned;
use crate::publish::SegmentSource;

/// What a request carries.
pub(crate) enum RequestBody {
    /// Nothing.
    Empty,
    /// A segment, sent as it is written.
    Segment(SegmentSource),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = crate::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, crate::Error>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Segment(source) => {
                source.poll_next(context).map(|next| next.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, RequestBody::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Segment(_) => SizeHint::default(),
        }
    }
}

/// Dropping it closes the connection, whatever is under way on it.
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    _driver: Owned<()>,
}

impl Connection {
    pub(crate) async fn handshake<S>(stream: S) -> Result<Connection, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) =
            Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::trace!(%error, "a trickle connection ended");
            }
        });
        Ok(Connection { sender, _driver: Owned(driver) })
    }

    /// Waits until the former exchange is over; false when the connection has ended with it.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<Incoming>, hyper::Error> {
        self.sender.send_request(request).await
    }
}
