//! Sends requests to the server of one channel. Keeps one idle connection for the next request.
//!
//! This does not use the pooling client of hyper-util, because that client owns its connections. If a request
//! is dropped there while its peer is not reading, the connection and its buffers remain until the peer reads
//! again. And if the peer responds early, the client keeps consuming the request body, which loses bytes.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::{ClientConfig, Connection, RequestBody, tls};
use crate::error::{Error, Kind};
use crate::lock::lock;

/// A connection that was idle for longer may have been closed by the peer without our noticing.
const MAX_IDLE: Duration = Duration::from_secs(5);
/// The largest body of a short response, in bytes.
const MAX_SHORT_BODY: usize = 4096;

/// The target of a request within a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The channel itself.
    Channel,
    /// The next sequence number of the channel.
    NextNumber,
    /// The segment that will be written next (-1).
    Next,
    /// The segment being written (-2).
    Current,
    /// A numbered segment.
    Segment(u64),
}

/// One channel on one server.
pub(crate) struct Endpoint {
    address: Address,
    config: ClientConfig,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
    idle: Mutex<Option<(Connection, Instant)>>,
}

impl Endpoint {
    pub(crate) fn new(url: &str, config: ClientConfig) -> Result<Arc<Endpoint>, Error> {
        let address = Address::parse(url)?;
        Ok(Arc::new(Endpoint { address, config, tls: OnceLock::new(), idle: Mutex::new(None) }))
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The URL of the channel as messages show it.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.address.shown
    }

    pub(crate) fn error(&self, kind: Kind) -> Error {
        Error::new(kind).channel(self.name())
    }

    /// Returns a connection that is ready for a request, or fails after the connect timeout.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        match tokio::time::timeout(self.config.connect_timeout, self.connect_unbounded()).await {
            Ok(result) => result,
            Err(_) => Err(self.error(Kind::Timeout)),
        }
    }

    async fn connect_unbounded(&self) -> Result<Connection, Error> {
        let idle = lock(&self.idle).take();
        if let Some((mut connection, since)) = idle
            && since.elapsed() < MAX_IDLE
            && connection.is_reusable().await
        {
            return Ok(connection);
        }
        let failed = |cause: std::io::Error| self.error(Kind::Connection).source(cause);
        let address = (self.address.host.as_str(), self.address.port);
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let connection = if self.address.tls {
            let name = ServerName::try_from(self.address.host.clone())
                .map_err(|cause| self.error(Kind::Tls).source(cause))?;
            let connector = TlsConnector::from(self.tls().await?);
            let stream = connector.connect(name, stream).await.map_err(|cause| {
                let kind = if tls::is_final(&cause) { Kind::Tls } else { Kind::Connection };
                self.error(kind).source(cause)
            })?;
            Connection::handshake(stream).await
        } else {
            Connection::handshake(stream).await
        };
        connection.map_err(|cause| self.error(Kind::Connection).source(cause))
    }

    async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, Error> {
        if let Some(made) = self.tls.get() {
            return Ok(made.clone());
        }
        let (ca_file, insecure) = (self.config.ca_file.clone(), self.config.insecure_skip_verify);
        let made = tokio::task::spawn_blocking(move || tls::settings(ca_file.as_deref(), insecure))
            .await
            .map_err(|cause| self.error(Kind::Tls).source(cause))?
            .map_err(|error| error.channel(self.name()))?;
        Ok(self.tls.get_or_init(|| made).clone())
    }

    /// Keeps a connection for the next request. Its last response must have been read to the end.
    pub(crate) fn keep(&self, connection: Connection) {
        *lock(&self.idle) = Some((connection, Instant::now()));
    }

    pub(crate) fn request(
        &self,
        method: Method,
        place: Place,
        headers: &[(HeaderName, HeaderValue)],
        body: RequestBody,
    ) -> Result<Request<RequestBody>, Error> {
        let target = match place {
            Place::Channel => self.address.target(None),
            Place::NextNumber => self.address.target(Some("next")),
            Place::Next => self.address.target(Some("-1")),
            Place::Current => self.address.target(Some("-2")),
            Place::Segment(seq) => self.address.target(Some(&seq.to_string())),
        };
        let mut builder = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.address.authority)
            .header(header::USER_AGENT, concat!("cutrickle/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        builder
            .body(body)
            .map_err(|cause| self.error(Kind::Protocol("the request is malformed")).source(cause))
    }

    /// Sends a request with a short response. The response must be complete within the connect timeout,
    /// counted from when the connection is ready.
    pub(crate) async fn ask(
        &self,
        method: Method,
        place: Place,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Bytes>, Error> {
        let mut connection = self.connect().await?;
        let request = self.request(method, place, headers, RequestBody::Left(Empty::new()))?;
        let exchange = async {
            let response = connection.send(request).await.map_err(|cause| self.broken(cause))?;
            self.read_short(response).await
        };
        let answer = tokio::time::timeout(self.config.connect_timeout, exchange)
            .await
            .map_err(|_| self.error(Kind::Timeout))??;
        self.keep(connection);
        Ok(answer)
    }

    pub(crate) async fn read_short(&self, response: Response<Incoming>) -> Result<Response<Bytes>, Error> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_SHORT_BODY)
            .collect()
            .await
            .map_err(|cause| self.error(Kind::Connection).source(cause))?
            .to_bytes();
        Ok(Response::from_parts(head, body))
    }

    pub(crate) fn broken(&self, cause: hyper::Error) -> Error {
        self.error(Kind::Connection).source(cause)
    }
}
