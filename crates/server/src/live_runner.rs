//! Making a worker known to an orchestrator as a live runner: a heartbeat every few seconds, the first of
//! which registers it.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use cutrickle_error::chain;
use cutrickle_trickle::without_secrets;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::orchestrator::{Orchestrator, Retry};

/// An orchestrator forgets a runner after 20 s without a heartbeat.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the end of the worker waits for the answer to a heartbeat.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What an orchestrator is told about a live runner. The capacity and the version are the server's own.
#[derive(Clone)]
#[non_exhaustive]
pub struct LiveRunner {
    /// The orchestrator's base URL.
    pub orchestrator: String,
    /// The orchestrator's secret, for the first heartbeat; its answer has another one for the rest. Never
    /// printed. Empty unless set.
    pub secret: String,
    /// The URL at which the orchestrator reaches this worker.
    pub runner_url: String,
    /// The application that it runs: `live-video-to-video/restyle`.
    pub app: String,
    /// The price of an hour of one stream, a positive decimal number.
    pub price: Number,
    /// The currency of the price. `usd` unless set.
    pub currency: String,
    /// What the price is for: `hour`, or `720p` for an hour at 1280x720 and 30 frames a second. `hour` unless
    /// set.
    pub unit: String,
    /// Anything else, at most 1 KiB as JSON. Empty unless set.
    pub metadata: Map<String, Value>,
}

impl LiveRunner {
    /// A runner of `app` that the orchestrator reaches at `runner_url`, at a price per hour in US dollars.
    /// The other fields can be set afterwards.
    pub fn new(
        orchestrator: impl Into<String>,
        runner_url: impl Into<String>,
        app: impl Into<String>,
        price: Number,
    ) -> Self {
        Self {
            orchestrator: orchestrator.into(),
            secret: String::new(),
            runner_url: runner_url.into(),
            app: app.into(),
            price,
            currency: "usd".into(),
            unit: "hour".into(),
            metadata: Map::new(),
        }
    }
}

impl fmt::Debug for LiveRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRunner")
            .field("orchestrator", &without_secrets(&self.orchestrator))
            .field("runner_url", &without_secrets(&self.runner_url))
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// The body of a heartbeat.
#[derive(Debug, Serialize)]
struct Heartbeat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    runner_id: Option<&'a str>,
    runner_url: &'a str,
    app: &'a str,
    mode: &'static str,
    capacity: usize,
    price_info: Price<'a>,
    version: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
    /// Always `ready`: an orchestrator cuts off the sessions of a runner that is not, and counts the free
    /// places itself.
    status: &'static str,
    session_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Price<'a> {
    price: &'a Number,
    currency: &'a str,
    unit: &'a str,
}

/// A registered runner.
#[derive(Debug, Default)]
struct Known {
    id: String,
    secret: String,
}

/// Sends heartbeats until it is dropped or `stopping` resolves; then unregisters the runner.
pub(crate) async fn run(
    orchestrator: &Orchestrator,
    runner: &LiveRunner,
    capacity: usize,
    version: &str,
    sessions: impl Fn() -> Vec<String>,
    stopping: impl Future<Output = ()>,
) {
    let mut known: Option<Known> = None;
    let mut retry = Retry::default();
    let mut stopping = pin!(stopping);
    let mut stopped = false;
    while !stopped {
        let heartbeat = Heartbeat {
            runner_id: known.as_ref().map(|known| known.id.as_str()),
            runner_url: &runner.runner_url,
            app: &runner.app,
            mode: "persistent",
            capacity,
            price_info: Price { price: &runner.price, currency: &runner.currency, unit: &runner.unit },
            version,
            metadata: &runner.metadata,
            status: "ready",
            session_ids: sessions(),
        };
        let Ok(body) = serde_json::to_vec(&heartbeat) else { return };
        let answered = {
            let secret = known.as_ref().map_or(runner.secret.as_str(), |known| known.secret.as_str());
            let mut call = pin!(orchestrator.post("/runners/heartbeat", secret, true, Bytes::from(body)));
            tokio::select! {
                answered = &mut call => Some(answered),
                () = &mut stopping => {
                    stopped = true;
                    // It may register the runner, which can only be unregistered by what the answer says.
                    tokio::time::timeout(LAST_ANSWER, call).await.ok()
                }
            }
        };
        let wait = match answered {
            None => break,
            Some(Ok(answer)) if answer.status.is_success() => {
                retry.succeeded();
                if let Some(newly) = read(&answer.body, known.as_ref()) {
                    if known.is_none() {
                        tracing::info!(runner = newly.id, "known to the orchestrator");
                    }
                    known = Some(newly);
                }
                INTERVAL
            }
            // The orchestrator was restarted, or gave up on this runner: it no longer knows it.
            Some(Ok(answer)) if known.is_some() && is_forgotten(answer.status) => {
                tracing::warn!("the orchestrator has forgotten this runner: {}", answer.reason());
                known = None;
                continue;
            }
            Some(failed) => {
                let wait = retry.wait().min(if known.is_some() { INTERVAL } else { Duration::MAX });
                let reason = failed.map_or_else(|e| chain(&e).to_string(), |answer| answer.reason());
                tracing::warn!(?wait, "heartbeat failed: {reason}");
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait), if !stopped => {}
            () = &mut stopping, if !stopped => stopped = true,
            else => {}
        }
    }
    let Some(Known { id, secret }) = known else { return };
    match orchestrator.post(&format!("/runners/{id}/unregister"), &secret, true, Bytes::new()).await {
        Ok(answer) if answer.status.is_success() => tracing::info!(runner = id, "unregistered"),
        Ok(answer) => tracing::warn!(runner = id, "unregistering: {}", answer.reason()),
        Err(e) => tracing::warn!(runner = id, "unregistering: {}", chain(&e)),
    }
}

fn is_forgotten(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED)
}

/// What an answer says of this runner. A secret is only in the first one, unless it changes.
fn read(body: &[u8], known: Option<&Known>) -> Option<Known> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = |field: &str| answer.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id = text("runner_id").or(known.map(|known| known.id.as_str()))?;
    let secret = text("heartbeat_secret").or(known.map(|known| known.secret.as_str()))?;
    Some(Known { id: id.to_owned(), secret: secret.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_the_first_answer_stays_until_another_comes() {
        let first = read(br#"{"runner_id": "r1", "heartbeat_secret": "s1"}"#, None).unwrap();
        assert_eq!((first.id.as_str(), first.secret.as_str()), ("r1", "s1"));
        let same = read(br#"{"runner_id": "r1", "session_ids": []}"#, Some(&first)).unwrap();
        assert_eq!(same.secret, "s1");
        let rotated = read(br#"{"heartbeat_secret": "s2"}"#, Some(&same)).unwrap();
        assert_eq!((rotated.id.as_str(), rotated.secret.as_str()), ("r1", "s2"));
        assert!(read(br#"{"runner_id": "r1"}"#, None).is_none(), "without a secret nothing can follow");
    }
}
