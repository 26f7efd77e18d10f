//! Sends one segment: gives it the number after the previous one, POSTs it, and does what `recover` decides.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;

use super::counters::PublishCounters;
use super::delivery::Delivery;
use super::recover::{Ended, Progress, Recover, Verdict};
use super::segment::{Phase, Segment};
use crate::client::{Endpoint, Place, RequestBody};
use crate::error::{Error, Kind};
use crate::lock::lock;
use crate::wire;

/// What the segments of one publisher share.
pub(super) struct Link {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) content_type: HeaderValue,
    pub(super) counters: Arc<PublishCounters>,
    /// Identifies this publisher to the server.
    name: HeaderValue,
    recover: Mutex<Recover>,
    failure: Mutex<Option<Error>>,
    delivery: watch::Sender<Delivery>,
}

impl Link {
    pub(super) fn new(endpoint: Arc<Endpoint>, content_type: HeaderValue) -> Link {
        let recover = Mutex::new(Recover::new(endpoint.config()));
        Link {
            endpoint,
            content_type,
            counters: Arc::default(),
            name: name(),
            recover,
            failure: Mutex::new(None),
            delivery: watch::Sender::default(),
        }
    }

    /// The header that identifies this publisher.
    pub(super) fn signature(&self) -> (HeaderName, HeaderValue) {
        (wire::PUBLISHER, self.name.clone())
    }

    pub(super) fn delivery(&self) -> watch::Receiver<Delivery> {
        self.delivery.subscribe()
    }

    /// Updates the delivery state.
    fn update_delivery(&self) {
        self.delivery.send_if_modified(|known| {
            let now = match self.failure() {
                Some(failure) => Delivery::Failed(failure),
                None if self.recover().is_away() => Delivery::Away,
                None if self.counters.bytes() > 0 => Delivery::Taken,
                None => Delivery::Idle,
            };
            let changed = !known.is_same(&now);
            if changed {
                *known = now;
            }
            changed
        });
    }

    /// Records how a POST ended.
    fn ended(&self, progress: Progress, ended: Ended) -> Verdict {
        let verdict = self.recover().ended(Instant::now(), progress, ended);
        self.update_delivery();
        verdict
    }

    pub(super) fn recover(&self) -> MutexGuard<'_, Recover> {
        lock(&self.recover)
    }

    /// Why nothing can be published any more.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.failure).clone()
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.update_delivery();
    }

    /// Asks the server to create the channel and returns the status of the response.
    pub(super) async fn create(&self) -> Result<StatusCode, Error> {
        let headers = [(wire::EXPECT_CONTENT, self.content_type.clone())];
        let answer = self.endpoint.ask(Method::POST, Place::Channel, &headers).await?;
        Ok(answer.status())
    }

    /// Requests the next number of the channel. The inner `Err` is the status of a response without a number.
    async fn next_number(&self) -> Result<Result<u64, StatusCode>, Error> {
        let answer = self.endpoint.ask(Method::GET, Place::NextNumber, &[]).await?;
        let status = answer.status();
        if !status.is_success() {
            return Ok(Err(status));
        }
        let text = std::str::from_utf8(answer.body()).unwrap_or_default();
        let number = wire::number(answer.headers(), &wire::LATEST).or_else(|| text.trim().parse().ok());
        Ok(number.ok_or(status))
    }

    /// The first number: the next one of an existing channel, or 0 after creating the channel.
    async fn begin(&self) -> Result<u64, Error> {
        loop {
            let cause = match self.next_number().await {
                Ok(Ok(number)) => return Ok(number),
                // If creating is forbidden, the POST of the first segment may still succeed.
                Ok(Err(StatusCode::NOT_FOUND)) => match self.create().await {
                    Ok(status) if !status.is_server_error() => return Ok(0),
                    Ok(status) => self.endpoint.error(Kind::Refused(status)),
                    Err(error) => error,
                },
                Ok(Err(status)) if is_refusal(status) => {
                    return Err(self.endpoint.error(Kind::Refused(status)));
                }
                // The server does not support this request.
                Ok(Err(status)) if status.is_client_error() => return Ok(0),
                Ok(Err(status)) => self.endpoint.error(Kind::Refused(status)),
                Err(error) => error,
            };
            if matches!(cause.kind(), Kind::Tls) {
                return Err(cause);
            }
            let wait = self.recover().unanswered(Instant::now());
            self.update_delivery();
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(self.endpoint.error(Kind::Timeout).source(cause)),
            }
        }
    }
}

/// A random name for a publisher.
fn name() -> HeaderValue {
    // The standard library has no other source of random numbers.
    let random = RandomState::new().build_hasher().finish();
    HeaderValue::from_str(&format!("{random:016x}")).unwrap_or(HeaderValue::from_static("unknown"))
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Cuts the segment if its task ends early, so that its writer gets an error.
struct Sending(Arc<Segment>);

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.cut();
            self.0.set_phase(Phase::Over { taken: false, next: None });
        }
    }
}

/// Sends `segment`. `before` watches the previous one and is `None` for the first segment.
pub(super) async fn post(link: Arc<Link>, segment: Arc<Segment>, before: Option<watch::Receiver<Phase>>) {
    let sending = Sending(segment.clone());
    let numbered = match &before {
        None => tokio::select! {
            begun = link.begin() => match begun {
                Ok(seq) => Some(seq),
                Err(error) => { link.fail(error); None }
            },
            () = segment.until_cut() => None,
        },
        Some(before) => successor(before.clone()).await,
    };
    let Some(seq) = numbered else { return };
    segment.set_phase(Phase::Numbered(seq));
    let outcome = tokio::select! {
        outcome = attempts(&link, &segment, seq, before.as_ref()) => outcome,
        () = segment.until_cut() => {
            let seq = segment.seq();
            match segment.progress() {
                // The next segment takes over its number.
                Progress::Unsent => Outcome::Unsent(seq),
                progress if segment.is_stalled() => match link.ended(progress, Ended::Stalled) {
                    Verdict::TimedOut => Outcome::Failed(link.endpoint.error(Kind::Timeout).seq(seq)),
                    _ => Outcome::Stalled(seq),
                },
                _ => Outcome::Lost { seq, close: true },
            }
        }
    };
    let taken = matches!(outcome, Outcome::Written(_));
    // A segment that was connected in advance and never written to does not count as dropped.
    if taken {
        link.counters.add_segment();
    } else if segment.is_used() {
        tracing::debug!(channel = %link.endpoint.name(), seq = segment.seq(), "the segment was dropped");
        link.counters.drop_segment();
    }
    let (next, closing) = match outcome {
        Outcome::Written(seq) => (seq.checked_add(1), None),
        Outcome::Unsent(seq) => (Some(seq), None),
        Outcome::Stalled(seq) => {
            segment.forget_given();
            (seq.checked_add(1), Some(seq))
        }
        Outcome::Lost { seq, close } => (seq.checked_add(1), close.then_some(seq)),
        Outcome::Failed(error) => {
            link.fail(error);
            (None, None)
        }
    };
    segment.cut();
    segment.set_phase(Phase::Over { taken, next });
    if let Some(seq) = closing {
        close(&link, seq).await;
    }
    drop(sending);
}

/// The outcome of a segment.
enum Outcome {
    Written(u64),
    Unsent(u64),
    Lost {
        seq: u64,
        close: bool,
    },
    /// The server accepted the connection and then stalled.
    Stalled(u64),
    /// Nothing can be published any more.
    Failed(Error),
}

/// The number after the segment that `before` watches, as soon as it is final.
async fn successor(mut before: watch::Receiver<Phase>) -> Option<u64> {
    let phase =
        before.wait_for(|phase| matches!(phase, Phase::Sending(_) | Phase::Over { .. })).await.ok()?;
    match *phase {
        Phase::Sending(seq) => seq.checked_add(1),
        Phase::Over { next, .. } => next,
        _ => None,
    }
}

/// Retries the POST until the segment is written or lost, or until nothing can be published any more.
async fn attempts(
    link: &Link,
    segment: &Arc<Segment>,
    mut seq: u64,
    before: Option<&watch::Receiver<Phase>>,
) -> Outcome {
    loop {
        let mut connected = None;
        let (ended, cause) = match attempt(link, segment, seq, before, &mut connected).await {
            Ok(ended) => (ended, None),
            Err(error) if matches!(error.kind(), Kind::Tls) => return Outcome::Failed(error),
            Err(error) => {
                if link.recover().is_unreachable() {
                    tracing::debug!(channel = %link.endpoint.name(), seq, ?error, "POST failed again");
                } else {
                    tracing::warn!(channel = %link.endpoint.name(), seq, ?error, "POST failed, retrying");
                }
                let stood = connected.map_or(Duration::ZERO, |at: Instant| at.elapsed());
                (Ended::Broken { stood }, Some(error))
            }
        };
        let verdict = link.ended(segment.progress(), ended);
        let failure = match verdict {
            Verdict::Done => return Outcome::Written(seq),
            Verdict::Lost { .. } if ended == Ended::Stalled => return Outcome::Stalled(seq),
            Verdict::Lost { close } => return Outcome::Lost { seq, close },
            Verdict::Retry(wait) => {
                tokio::time::sleep(wait).await;
                continue;
            }
            Verdict::Create(wait) => {
                tokio::time::sleep(wait).await;
                // The next POST shows whether the channel exists, so the response does not matter.
                if let Err(error) = link.create().await {
                    tracing::debug!(channel = %link.endpoint.name(), ?error, "could not create the channel");
                }
                continue;
            }
            Verdict::Renumber(wait) => {
                tokio::time::sleep(wait).await;
                seq = seq.saturating_add(1);
                if let Ok(Ok(next)) = link.next_number().await {
                    seq = seq.max(next);
                }
                segment.set_phase(Phase::Numbered(seq));
                continue;
            }
            Verdict::Closed => Kind::Closed,
            Verdict::NotFound => Kind::NotFound,
            Verdict::TimedOut => Kind::Timeout,
            Verdict::Refused(status) => Kind::Refused(status),
        };
        let error = link.endpoint.error(failure).seq(seq);
        return Outcome::Failed(match cause {
            Some(cause) => error.source(cause),
            None => error,
        });
    }
}

/// Sends one POST and waits for the response.
async fn attempt(
    link: &Link,
    segment: &Arc<Segment>,
    seq: u64,
    before: Option<&watch::Receiver<Phase>>,
    connected: &mut Option<Instant>,
) -> Result<Ended, Error> {
    let mut connection = link.endpoint.connect().await?;
    *connected = Some(Instant::now());
    link.recover().connected();
    let earlier = before.is_some_and(|before| !matches!(*before.borrow(), Phase::Over { .. }));
    let resets = link.recover().resets(earlier);
    let mut headers: Vec<(HeaderName, HeaderValue)> =
        vec![(header::CONTENT_TYPE, link.content_type.clone()), link.signature()];
    if resets {
        headers.push((wire::RESET, HeaderValue::from_static("1")));
    }
    let body = RequestBody::Right(segment.source());
    let request = link.endpoint.request(Method::POST, Place::Segment(seq), &headers, body)?;
    let response = tokio::select! {
        biased;
        response = connection.send(request) => response.map_err(|cause| link.endpoint.broken(cause))?,
        () = stalled(link, segment) => return Ok(Ended::Stalled),
    };
    if resets && response.status().is_success() {
        link.recover().has_reset();
    }
    let status = response.status();
    let closed = response.headers().contains_key(wire::CLOSED);
    if status.is_success() && segment.progress() == Progress::Whole {
        // The segment has arrived. The body is only read so that the connection can be reused.
        if link.endpoint.read_short(response).await.is_ok() {
            link.endpoint.keep(connection);
        }
    }
    Ok(Ended::Answer { status, closed })
}

/// Resolves when the POST in flight has stalled. Reports the delivery when its first bytes are sent.
async fn stalled(link: &Link, segment: &Segment) {
    let mut stalled = pin!(segment.until_stalled(link.endpoint.config().stall_timeout));
    tokio::select! {
        () = segment.until_sent() => {
            link.recover().sending();
            link.update_delivery();
        }
        () = &mut stalled => return,
    }
    stalled.await;
}

/// Tries to close an unfinished segment, so that its readers do not wait for the rest.
async fn close(link: &Link, seq: u64) {
    const MAX_WAIT: Duration = Duration::from_secs(2);
    let asked = link.endpoint.ask(Method::DELETE, Place::Segment(seq), &[]);
    if !matches!(tokio::time::timeout(MAX_WAIT, asked).await, Ok(Ok(_))) {
        tracing::debug!(channel = %link.endpoint.name(), seq, "could not close an unfinished segment");
    }
}
