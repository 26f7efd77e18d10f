//! Calls the REST API of a worker, as an orchestrator would.

use std::time::Duration;

use bytes::Bytes;
use cutrickle_worker::Failure;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The time limit for a call. Workers that load a model at the start are slow.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a worker that is still loading is asked again.
const LOADING: Duration = Duration::from_millis(20);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// A worker that is called by its URL.
#[derive(Debug, Clone)]
pub struct Worker {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Worker {
    /// The worker at `url`. The paths of the API are appended to it.
    ///
    /// # Errors
    /// `url` is not a URL that begins with `http://`.
    pub fn new(url: &str) -> Result<Self, Failure> {
        let uri: Option<Uri> = url.parse().ok();
        if !uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some()) {
            return Err(Failure::usage(format!("--worker {url}: a URL beginning with http:// is wanted")));
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { base: url.trim_end_matches('/').to_owned(), client })
    }

    /// Starts a stream between two channels.
    ///
    /// # Errors
    /// The worker is unreachable or refuses. In the latter case the text contains its status and answer.
    pub async fn start(&self, subscribe_url: &str, publish_url: &str, params: &Value) -> Result<(), Failure> {
        accepted(self.try_start(subscribe_url, publish_url, params).await?, "start a stream")
    }

    /// Starts a stream as soon as the worker has finished loading.
    ///
    /// # Errors
    /// The same as those of `start`; also, the worker stays busy.
    pub async fn start_when_ready(&self, subscribe_url: &str, publish_url: &str) -> Result<(), Failure> {
        let ready = async {
            loop {
                match self.try_start(subscribe_url, publish_url, &json!({})).await {
                    Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => tokio::time::sleep(LOADING).await,
                    answered => return answered,
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE, ready).await;
        accepted(answered.map_err(|e| self.failed(e))??, "start a stream")
    }

    /// Stops the stream.
    ///
    /// # Errors
    /// The same as those of `start`.
    pub async fn stop(&self) -> Result<(), Failure> {
        accepted(self.call(Method::POST, "/api/stream/stop", &json!({})).await?, "stop the stream")
    }

    /// Asks for the status: `/api/stream/status`.
    ///
    /// # Errors
    /// The worker is unreachable, or its answer is not JSON.
    pub async fn status(&self) -> Result<Value, Failure> {
        let (_, answer) = self.call(Method::GET, "/api/stream/status", &Value::Null).await?;
        serde_json::from_str(&answer).map_err(|e| self.failed(e))
    }

    async fn try_start(
        &self,
        subscribe_url: &str,
        publish_url: &str,
        params: &Value,
    ) -> Result<(StatusCode, String), Failure> {
        let body = json!({ "subscribe_url": subscribe_url, "publish_url": publish_url, "params": params });
        self.call(Method::POST, "/api/stream/start", &body).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, String), Failure> {
        let exchange = async {
            let request = Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.base))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body.to_string())))?;
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let text = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
                status,
                String::from_utf8_lossy(&text).into_owned(),
            ))
        };
        let answered = tokio::time::timeout(PATIENCE, exchange).await;
        answered.map_err(|e| self.failed(e))?.map_err(|e| self.failed(e))
    }

    fn failed(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure::because(format_args!("calling the worker at {}", self.base), cause)
    }
}

fn accepted((status, answer): (StatusCode, String), what: &str) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    Err(Failure::because(format!("the worker refused to {what} ({status})"), answer.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_workers_own() {
        let worker = Worker::new("http://[::1]/behind/proxy/").unwrap();
        assert_eq!(worker.base, "http://[::1]/behind/proxy");
        assert!(Worker::new("https://worker").is_err());
        assert!(Worker::new("worker:8000").is_err());
    }
}
