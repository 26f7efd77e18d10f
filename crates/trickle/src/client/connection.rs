//! One HTTP/1.1 connection of a client and the task that drives it.

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Owned;
use crate::publish::SegmentSource;

/// The body of a request: nothing, or a segment, which is sent while it is being written.
pub(crate) type RequestBody = Either<Empty<Bytes>, SegmentSource>;

/// An open connection. Dropping it closes the socket at once, even while a request is in flight and even if
/// the peer reads nothing.
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

    /// Waits until the previous exchange is complete. Returns false if the connection was closed.
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
