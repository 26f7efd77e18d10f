//! Making a worker known to an orchestrator as a capability (BYOC): registered once when it has loaded,
//! unregistered at the end.
//!
//! Registering again would zero the orchestrator's count of running jobs, so it is no heartbeat and is never
//! repeated after it has succeeded.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use bytes::Bytes;
use cutrickle_error::chain;
use cutrickle_trickle::without_secrets;
use serde::Serialize;

use crate::orchestrator::{Orchestrator, Retry};

/// What an orchestrator is told about a worker. The name and the token are the server's own.
#[derive(Clone)]
#[non_exhaustive]
pub struct Registration {
    /// The orchestrator's base URL.
    pub orchestrator: String,
    /// The orchestrator's secret; sent as `Authorization`, without a scheme. Never printed. Empty unless set.
    pub secret: String,
    /// The URL at which the orchestrator reaches this worker.
    pub url: String,
    /// One line for people. Empty unless set.
    pub description: String,
    /// Price of `price_scaling` units of work, in `currency`'s smallest unit. 0 unless set.
    pub price_per_unit: i64,
    /// Units of work that the price is for; 0 counts as 1. 1 unless set.
    pub price_scaling: i64,
    /// `wei` or `usd`; the orchestrator chooses where it is empty. Empty unless set.
    pub currency: String,
}

impl Registration {
    /// A registration with the orchestrator at `orchestrator` of a worker that it reaches at `url`. The other
    /// fields can be set afterwards.
    pub fn new(orchestrator: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            orchestrator: orchestrator.into(),
            secret: String::new(),
            url: url.into(),
            description: String::new(),
            price_per_unit: 0,
            price_scaling: 1,
            currency: String::new(),
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("orchestrator", &without_secrets(&self.orchestrator))
            .field("url", &without_secrets(&self.url))
            .finish_non_exhaustive()
    }
}

/// The body of a registration.
#[derive(Debug, Serialize)]
pub(crate) struct Capability {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) url: String,
    pub(crate) capacity: usize,
    pub(crate) price_per_unit: i64,
    pub(crate) price_scaling: i64,
    pub(crate) currency: String,
    pub(crate) token: String,
}

/// Tries until the registration is taken or refused for good. `perhaps_taken` tells whether the orchestrator
/// has taken it, or was asked and has not answered yet, also when this is dropped.
pub(crate) async fn register(
    orchestrator: &Orchestrator,
    secret: &str,
    capability: &Capability,
    perhaps_taken: &AtomicBool,
) {
    let Ok(body) = serde_json::to_vec(capability) else { return };
    let body = Bytes::from(body);
    let mut retry = Retry::default();
    loop {
        let wait = retry.wait();
        perhaps_taken.store(true, Ordering::Relaxed);
        let answered = orchestrator.post("/capability/register", secret, true, body.clone()).await;
        let taken = answered.as_ref().is_ok_and(|answer| answer.status.is_success());
        perhaps_taken.store(taken, Ordering::Relaxed);
        match answered {
            Ok(answer) if answer.status.is_success() => {
                tracing::info!(capability = capability.name, "registered");
                return;
            }
            // The secret or the registration itself is wrong, and would be wrong again.
            Ok(answer) if answer.status.is_client_error() && !is_passing(answer.status) => {
                tracing::error!(capability = capability.name, "registration refused: {}", answer.reason());
                return;
            }
            Ok(answer) => {
                tracing::warn!(?wait, "registration failed, trying again: {}", answer.reason());
            }
            Err(e) => tracing::warn!(?wait, "registration failed, trying again: {}", chain(&e)),
        }
        tokio::time::sleep(wait).await;
    }
}

/// Unregisters. There is one try, since the process is about to end.
pub(crate) async fn unregister(orchestrator: &Orchestrator, secret: &str, name: &str) {
    match orchestrator.post("/capability/unregister", secret, false, Bytes::from(name.to_owned())).await {
        Ok(answer) if answer.status.is_success() => tracing::info!(capability = name, "unregistered"),
        Ok(answer) => tracing::warn!(capability = name, "unregistering: {}", answer.reason()),
        Err(e) => tracing::warn!(capability = name, "unregistering: {}", chain(&e)),
    }
}

/// Whether a refusal may be a temporary one.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}
