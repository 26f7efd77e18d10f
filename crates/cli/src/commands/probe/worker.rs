//! Calls the worker's REST API.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// The longest that a call may take: workers that load a model on start are slow.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer is cut off here.
const MOST_ANSWER: usize = 64 << 10;

/// A worker's address.
#[derive(Debug, Clone)]
pub struct Worker {
    authority: String,
    host_and_port: String,
    path: String,
}

impl Worker {
    /// The worker at `url`, to which the API's paths are appended.
    ///
    /// # Errors
    /// Not a URL of http://.
    pub fn new(url: &str) -> Result<Self, Failure> {
        let malformed = || Failure::usage(format!("--worker {url}: a URL beginning with http:// is wanted"));
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let (Some("http"), Some(authority), Some(host)) = (uri.scheme_str(), uri.authority(), uri.host())
        else {
            return Err(malformed());
        };
        let host_and_port = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: authority.to_string(), host_and_port, path })
    }

    /// Starts a stream between two channels.
    ///
    /// # Errors
    /// The worker is out of reach or refuses; its status and answer are in the text.
    pub async fn start(&self, subscribe_url: &str, publish_url: &str, params: &Value) -> Result<(), Failure> {
        let body = serde_json::json!({
            "subscribe_url": subscribe_url,
            "publish_url": publish_url,
            "gateway_request_id": "probe",
            "params": params,
        });
        let (status, answer) = self.post("/api/stream/start", &body).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::because(format!("the worker refused to start a stream ({status})"), answer.trim()))
    }

    /// Stops the stream.
    ///
    /// # Errors
    /// As `start`.
    pub async fn stop(&self) -> Result<(), Failure> {
        let (status, answer) = self.post("/api/stream/stop", &serde_json::json!({})).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::because(format!("the worker refused to stop the stream ({status})"), answer.trim()))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, String), Failure> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            Failure::because(format!("calling the worker at {}", self.host_and_port), e)
        };
        let called = tokio::time::timeout(PATIENCE, self.exchange(path, body)).await;
        called.map_err(|e| failed(e.into()))?.map_err(failed)
    }

    async fn exchange(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
        let socket = TcpStream::connect(&self.host_and_port).await?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(format!("{}{path}", self.path))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let text = Limited::new(answer.into_body(), MOST_ANSWER).collect().await?.to_bytes();
        connection.abort();
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_workers_own() {
        let worker = Worker::new("http://[::1]/behind/proxy/").unwrap();
        assert_eq!((worker.host_and_port.as_str(), worker.path.as_str()), ("[::1]:80", "/behind/proxy"));
        assert!(Worker::new("https://worker").is_err());
        assert!(Worker::new("worker:8000").is_err());
    }
}
