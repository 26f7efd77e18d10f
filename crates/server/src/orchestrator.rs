//! Calls an orchestrator over HTTP or HTTPS, and says when to try again. What it is told is `registration`'s
//! and `live_runner`'s business.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, without_secrets};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Error;

/// The longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is cut off here.
const MAX_ANSWER: usize = 64 << 10;
/// The first wait between two tries, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// An orchestrator's address, and a client for it. Redirects are not followed: calls carry secrets.
#[derive(Debug, Clone)]
pub(crate) struct Orchestrator {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Orchestrator {
    /// TLS is as for trickle servers, since orchestrators are both. Reads the CA file, so it blocks.
    pub(crate) fn new(url: &str, trickle: &ClientConfig) -> Result<Self, Error> {
        let malformed = || {
            Error::invalid(format!(
                "orchestrator {:?}: a URL beginning with http:// or https:// is wanted",
                without_secrets(url)
            ))
        };
        let uri: axum::http::Uri = url.parse().map_err(|_| malformed())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(malformed());
        }
        let tls = trickle.tls().map_err(|e| Error::invalid("TLS of the orchestrator").because(e))?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        // Without user and password: the secret authenticates the worker, and the HTTP library logs
        // addresses.
        let base = without_secrets(url.split(['?', '#']).next().unwrap_or_default());
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client })
    }

    /// POSTs `body` with `Authorization: <secret>`, without a scheme, since that is what orchestrators
    /// compare.
    pub(crate) async fn post(
        &self,
        path: &str,
        secret: &str,
        json: bool,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::failed(format!("POST {}{path}", self.base)).because(e)
        };
        let call = async {
            let mut request = Request::builder().method(Method::POST).uri(format!("{}{path}", self.base));
            if json {
                request = request.header(header::CONTENT_TYPE, "application/json");
            }
            let request = request.header(header::AUTHORIZATION, secret).body(Full::new(body))?;
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answered) => answered.map_err(failed),
            Err(elapsed) => Err(failed(elapsed.into())),
        }
    }
}

/// What an orchestrator answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer as a reason for the log.
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}", self.status, crate::refusal::one_line(String::from_utf8_lossy(&self.body)))
    }
}

/// Waits between tries.
#[derive(Debug, Default)]
pub(crate) struct Retry(u32);

impl Retry {
    /// How long to wait before the next try: twice as long as the last time, give or take a fifth, so that
    /// workers that were cut off together do not come back together.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.0)).min(MAX_WAIT);
        self.0 = self.0.saturating_add(1).min(16);
        jittered(wait)
    }

    pub(crate) fn succeeded(&mut self) {
        self.0 = 0;
    }
}

/// A duration that is up to a fifth longer or shorter.
fn jittered(wait: Duration) -> Duration {
    // Each `RandomState` is seeded differently.
    let random = RandomState::new().build_hasher().finish() % 1_000;
    wait.mul_f64(0.8 + random as f64 / 2_500.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_half_a_minute_and_are_never_the_same() {
        let mut retry = Retry::default();
        let waits: Vec<f64> = (0..12).map(|_| retry.wait().as_secs_f64()).collect();
        for (n, wait) in waits.iter().enumerate() {
            let middle = f64::from(1u32 << n.min(5)).min(30.0);
            assert!((middle * 0.8..=middle * 1.2).contains(wait), "{n}: {wait}");
        }
        assert_ne!(waits[10], waits[11], "as good as never");
        retry.succeeded();
        assert!(retry.wait() < Duration::from_secs(2));
    }

    #[test]
    fn no_message_has_the_addresss_password_in_it() {
        let orchestrator =
            Orchestrator::new("http://u:s3cret@orch:1/?s3cret", &ClientConfig::default()).unwrap();
        assert_eq!(orchestrator.base, "http://orch:1");
        let error = Orchestrator::new("ftp://u:s3cret@orch", &ClientConfig::default()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["orch:8935", "ftp://orch", "http://", ""] {
            assert!(Orchestrator::new(url, &ClientConfig::default()).is_err(), "{url}");
        }
    }
}
