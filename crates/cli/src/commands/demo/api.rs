//! Calls the demonstration's own worker over the loopback, as an orchestrator would.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::failure::Failure;

/// The longest that a worker may take to load, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The worker.
#[derive(Debug, Clone, Copy)]
pub struct Api(pub SocketAddr);

impl Api {
    /// Starts the stream, as soon as the worker has loaded.
    ///
    /// # Errors
    /// The worker refuses.
    pub async fn start(self, subscribe_url: &str, publish_url: &str) -> Result<(), Failure> {
        let body = json!({ "subscribe_url": subscribe_url, "publish_url": publish_url, "params": {} });
        let started = async {
            loop {
                match self.call(Method::POST, "/api/stream/start", &body).await? {
                    (StatusCode::SERVICE_UNAVAILABLE, _) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    (status, _) if status.is_success() => return Ok(()),
                    (status, answer) => {
                        return Err(Failure::because(format!("starting the stream ({status})"), answer));
                    }
                }
            }
        };
        let started = tokio::time::timeout(PATIENCE, started).await;
        started.map_err(|_| Failure::because("starting the stream", "the worker is not ready"))?
    }

    /// Stops the stream; one that has ended is as good.
    ///
    /// # Errors
    /// The worker does not answer.
    pub async fn stop(self) -> Result<(), Failure> {
        self.call(Method::POST, "/api/stream/stop", &Value::Null).await.map(|_| ())
    }

    /// The answer of `/api/stream/status`.
    ///
    /// # Errors
    /// The worker does not answer.
    pub async fn status(self) -> Result<Value, Failure> {
        self.call(Method::GET, "/api/stream/status", &Value::Null).await.map(|(_, answer)| answer)
    }

    async fn call(self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value), Failure> {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await;
        let failed = |e: BoxError| Failure::because(format!("{path} of the worker"), e);
        answer.map_err(|e| failed(e.into()))?.map_err(failed)
    }

    async fn exchange(
        self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), BoxError> {
        let socket = TcpStream::connect(self.0).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection);
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.0.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let answer = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok((status, serde_json::from_slice(&answer)?))
    }
}
