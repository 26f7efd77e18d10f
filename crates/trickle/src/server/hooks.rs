//! Hooks that allow or refuse requests that would create or end a channel. Each call of a hook is a task of
//! its own. This contains panics, and the task is aborted if it takes too long or the request is cancelled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use crate::client::Owned;

type Decision = Result<(), Refusal>;
type Hook = Arc<dyn Fn(ChannelRequest) -> Pin<Box<dyn Future<Output = Decision> + Send>> + Send + Sync>;

/// Hooks that are called before a request creates or ends a channel. Without hooks everything is allowed.
///
/// A hook is called once for each request and without holding a lock, so it may be called concurrently for
/// the same channel. If it takes longer than
/// [`ServerConfig::hook_timeout`](super::ServerConfig::hook_timeout), the request is answered with 503. If
/// it panics, the request is answered with 500. Use `spawn_blocking` for blocking code.
///
/// Hooks are not called when an idle channel is closed, nor for publishers within the process.
///
/// ```
/// use cutrickle_trickle::{Hooks, Refusal};
///
/// let hooks = Hooks::default().before_create(|request| async move {
///     match request.headers().get("authorization") {
///         Some(_) => Ok(()),
///         None => Err(Refusal::forbidden("missing credentials")),
///     }
/// });
/// ```
#[derive(Clone, Default)]
pub struct Hooks {
    create: Option<Hook>,
    delete: Option<Hook>,
}

impl Hooks {
    /// Sets the hook that is called before a POST creates a channel.
    #[must_use]
    pub fn before_create<F, D>(mut self, hook: F) -> Hooks
    where
        F: Fn(ChannelRequest) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.create = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Sets the hook that is called before a DELETE ends a channel. It is not called for the DELETE of a
    /// segment.
    #[must_use]
    pub fn before_delete<F, D>(mut self, hook: F) -> Hooks
    where
        F: Fn(ChannelRequest) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.delete = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    pub(crate) async fn create(&self, channel: &str, headers: &HeaderMap, limit: Duration) -> Decision {
        ask(self.create.as_ref(), channel, headers, limit).await
    }

    pub(crate) async fn delete(&self, channel: &str, headers: &HeaderMap, limit: Duration) -> Decision {
        ask(self.delete.as_ref(), channel, headers, limit).await
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("create", &self.create.is_some())
            .field("delete", &self.delete.is_some())
            .finish()
    }
}

async fn ask(hook: Option<&Hook>, channel: &str, headers: &HeaderMap, limit: Duration) -> Decision {
    let Some(hook) = hook.cloned() else { return Ok(()) };
    let request = ChannelRequest { channel: channel.to_owned(), headers: headers.clone() };
    let mut task = Owned(tokio::spawn(async move { hook(request).await }));
    match timeout(limit, &mut task.0).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(error)) => {
            tracing::error!(channel, %error, "a hook failed");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The hook failed"))
        }
        Err(_) => {
            tracing::error!(channel, "a hook timed out");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "No decision in time"))
        }
    }
}

/// The request that a hook allows or refuses.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    channel: String,
    headers: HeaderMap,
}

impl ChannelRequest {
    /// The name of the channel, as it appears in the path.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The headers of the request, such as `Authorization`, `Expect-Content` and `Content-Type`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The response to a request that a hook refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    /// Responds with `status`, and with `reason` as the body. A status that is not an error is replaced by
    /// 500.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        let is_error = status.is_client_error() || status.is_server_error();
        Refusal {
            status: if is_error { status } else { StatusCode::INTERNAL_SERVER_ERROR },
            reason: reason.into(),
        }
    }

    /// Responds with 403.
    pub fn forbidden(reason: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, reason)
    }

    pub(crate) fn into_parts(self) -> (StatusCode, String) {
        (self.status, self.reason)
    }
}
