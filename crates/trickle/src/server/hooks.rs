//! What a server's owner may say to a request that would make or end a channel. A hook runs as a task of
//! its own: its panic stays there, and it is given up when it takes too long or its request goes away.

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

/// What is asked before a channel is made or ended by a request. Without hooks everything is allowed.
///
/// A hook is asked once for each request, with no lock held, so two requests that would make the same
/// channel may ask at the same time. It has
/// [`ServerConfig::hook_timeout`](super::ServerConfig::hook_timeout) to answer; then the request is
/// refused by 503, and by 500 when the hook panics. What blocks a thread belongs into `spawn_blocking`.
///
/// Neither the idle sweep nor publishers within the process ask: their owner is the hook's.
///
/// ```
/// use cutrickle_trickle::{Hooks, Refusal};
///
/// let hooks = Hooks::default().before_create(|request| async move {
///     match request.headers().get("authorization") {
///         Some(_) => Ok(()),
///         None => Err(Refusal::forbidden("who are you?")),
///     }
/// });
/// ```
#[derive(Clone, Default)]
pub struct Hooks {
    create: Option<Hook>,
    delete: Option<Hook>,
}

impl Hooks {
    /// Asked when a POST would make a channel.
    #[must_use]
    pub fn before_create<F, D>(mut self, hook: F) -> Hooks
    where
        F: Fn(ChannelRequest) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.create = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Asked when a DELETE would end a channel. The DELETE of a segment asks nobody.
    #[must_use]
    pub fn before_delete<F, D>(mut self, hook: F) -> Hooks
    where
        F: Fn(ChannelRequest) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.delete = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    pub(crate) async fn create(&self, channel: &str, headers: &HeaderMap, longest: Duration) -> Decision {
        ask(self.create.as_ref(), channel, headers, longest).await
    }

    pub(crate) async fn delete(&self, channel: &str, headers: &HeaderMap, longest: Duration) -> Decision {
        ask(self.delete.as_ref(), channel, headers, longest).await
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

async fn ask(hook: Option<&Hook>, channel: &str, headers: &HeaderMap, longest: Duration) -> Decision {
    let Some(hook) = hook.cloned() else { return Ok(()) };
    let request = ChannelRequest { channel: channel.to_owned(), headers: headers.clone() };
    let mut task = Owned(tokio::spawn(async move { hook(request).await }));
    match timeout(longest, &mut task.0).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(error)) => {
            tracing::error!(channel, %error, "a hook failed");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The hook failed"))
        }
        Err(_) => {
            tracing::error!(channel, "a hook did not decide in time");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "No decision in time"))
        }
    }
}

/// The request that a hook decides about.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    channel: String,
    headers: HeaderMap,
}

impl ChannelRequest {
    /// The channel's name, as it stands in the path.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The request's headers, such as `Authorization`, `Expect-Content` and `Content-Type`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// A hook's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    /// The request is answered with `status` and `reason` as its body. A status that is no error becomes
    /// 500.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        let is_error = status.is_client_error() || status.is_server_error();
        Refusal {
            status: if is_error { status } else { StatusCode::INTERNAL_SERVER_ERROR },
            reason: reason.into(),
        }
    }

    /// 403.
    pub fn forbidden(reason: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, reason)
    }

    pub(crate) fn into_parts(self) -> (StatusCode, String) {
        (self.status, self.reason)
    }
}
