//! What a worker does when it is called: the contract's logic, without HTTP's paths and methods.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use cutrickle_codec::probe::{self, Machine};
use cutrickle_error::chain;
use cutrickle_pipeline::{BoxError, Figures, MetricsRegistry, StreamState};
use serde_json::Value;

use crate::answer::{
    Acknowledged, Health, HealthAnswer, Identity, Overview, Started, Status, StatusFigures, worst,
};
use crate::hardware::Gpus;
use crate::hosts::AllowedHosts;
use crate::latest::Latest;
use crate::launch::Launch;
use crate::metrics;
use crate::nvml::SharedHardware;
use crate::process_usage::ProcessUsage;
use crate::refusal::{Refusal, one_line};
use crate::request;
use crate::streams::{Meant, Streams};
use crate::token::Token;

/// How long a call that brings parameters waits for the processor's answer, which may be busy with a frame.
const VERDICT: Duration = Duration::from_secs(2);
/// How long a call waits for the probe of this machine, which opens every GPU.
const PROBE: Duration = Duration::from_secs(10);

/// A worker: its processor, once that is initialised, and its streams.
pub(crate) struct Worker {
    pub(crate) identity: Identity,
    /// The JSON schema of the processor's parameters.
    pub(crate) schema: Value,
    pub(crate) streams: Arc<Streams>,
    pub(crate) token: Token,
    /// How long a request's body may take.
    pub(crate) body_timeout: Duration,
    hosts: AllowedHosts,
    strict_health: bool,
    metrics: MetricsRegistry,
    hardware: SharedHardware,
    machine: Latest<Arc<Machine>>,
    phase: Mutex<Phase>,
}

/// What a worker is configured with, apart from how its streams are run.
pub(crate) struct Settings {
    pub(crate) identity: Identity,
    pub(crate) schema: Value,
    pub(crate) capacity: usize,
    pub(crate) token: Token,
    pub(crate) hosts: AllowedHosts,
    pub(crate) strict_health: bool,
    pub(crate) body_timeout: Duration,
    pub(crate) hardware: SharedHardware,
}

/// Where the prototype is.
enum Phase {
    Loading,
    Ready(Arc<Launch>),
    Failed(String),
}

impl Worker {
    pub(crate) fn new(settings: Settings, metrics: MetricsRegistry) -> Arc<Self> {
        let Settings { identity, schema, capacity, token, hosts, strict_health, body_timeout, hardware } =
            settings;
        Arc::new(Self {
            identity,
            schema,
            streams: Streams::new(capacity),
            token,
            body_timeout,
            hosts,
            strict_health,
            metrics,
            hardware,
            machine: Latest::new("probe", || Arc::new(probe::machine())),
            phase: Mutex::new(Phase::Loading),
        })
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `initialize` has returned.
    pub(crate) fn loaded(&self, result: Result<Launch, BoxError>) {
        *self.phase() = match result {
            Ok(launch) => {
                tracing::info!("the processor is initialised");
                Phase::Ready(Arc::new(launch))
            }
            Err(e) => {
                let reason = one_line(chain(&*e));
                tracing::error!("initialize failed, no stream can be taken: {reason}");
                Phase::Failed(reason)
            }
        };
    }

    fn launch(&self) -> Result<Arc<Launch>, Refusal> {
        match &*self.phase() {
            Phase::Ready(launch) => Ok(Arc::clone(launch)),
            Phase::Loading => Err(Refusal::unavailable("loading: the processor is being initialised")),
            Phase::Failed(reason) => Err(Refusal::unavailable(format_args!("initialize failed: {reason}"))),
        }
    }

    pub(crate) fn health(&self) -> HealthAnswer {
        let states = self.streams.states();
        let (status, error) = match &*self.phase() {
            Phase::Loading => (Health::Loading, None),
            Phase::Failed(reason) => (Health::Error, Some(reason.clone())),
            Phase::Ready(_) if states.is_empty() => (Health::Idle, None),
            Phase::Ready(_) => (Health::Ok, None),
        };
        HealthAnswer { status, error, active_streams: states.len(), stream_state: worst(states) }
    }

    /// Whether `/health` is to answer that no stream can be taken. A worker at its capacity is healthy:
    /// orchestrators that poll its health end all streams of one that is not.
    pub(crate) fn is_unhealthy(&self, health: Health) -> bool {
        health == Health::Error || (self.strict_health && health == Health::Loading)
    }

    /// `initialize` has succeeded.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(&*self.phase(), Phase::Ready(_))
    }

    /// Starts a stream; does not wait for its media.
    pub(crate) async fn start(
        self: Arc<Self>,
        named: Option<String>,
        body: Bytes,
    ) -> Result<Started, Refusal> {
        let launch = self.launch()?;
        // Parsing and the user's `clone` may take a while, and a caller that hangs up must not leave half a
        // start behind.
        let started = tokio::task::spawn_blocking(move || {
            let (request, request_id) = request::start(&body, named, &self.hosts)?;
            let id = request.id.clone();
            let slot = self.streams.reserve(&id)?;
            let running = self.streams.sessions();
            let session = launch.start(request, &running).map_err(|e| {
                if e.is_invalid() { Refusal::bad(chain(&e)) } else { Refusal::internal(chain(&e)) }
            })?;
            tracing::info!(stream = %id, "started");
            slot.fill(session);
            Ok(Started::new(id, request_id, self.health()))
        });
        started.await.unwrap_or_else(|_| Err(Refusal::internal("starting the stream panicked")))
    }

    /// Hands parameters to a stream, and waits a while for its processor's answer. The status is 202 if there
    /// is none by then.
    pub(crate) async fn params(
        self: Arc<Self>,
        named: Option<String>,
        body: Bytes,
    ) -> Result<(StatusCode, Acknowledged), Refusal> {
        // Parsing may take a while.
        let submitted = tokio::task::spawn_blocking(move || {
            let (params, named) = request::params(&body, named)?;
            let session = self.streams.find(named.as_deref())?.and_then(|slot| slot.session());
            let session = session.ok_or_else(|| no_stream(named.as_deref()))?;
            let verdict = session.update_params(params).map_err(|e| Refusal::bad(chain(&e)))?;
            Ok((session.id().to_owned(), verdict))
        });
        let (id, verdict) =
            submitted.await.unwrap_or_else(|_| Err(Refusal::internal("updating the parameters panicked")))?;
        match tokio::time::timeout(VERDICT, verdict.known()).await {
            Ok(Ok(())) => Ok((StatusCode::OK, Acknowledged::new("Parameters updated", id))),
            Ok(Err(e)) => Err(Refusal::bad(chain(&e))),
            Err(_) => {
                let message = "Parameters accepted: the processor is busy, and has not taken them yet";
                Ok((StatusCode::ACCEPTED, Acknowledged::new(message, id)))
            }
        }
    }

    /// Ends a stream, and answers when its slot is free.
    pub(crate) async fn stop(&self, named: Option<String>, body: Bytes) -> Result<Acknowledged, Refusal> {
        let named = request::stop(&body, named);
        let Some(slot) = self.streams.find(named.as_deref())? else {
            return match named {
                // The caller named it, so that stream is the one that has ended: by itself, or by an earlier
                // stop.
                Some(id) if self.streams.ended(&id).is_some() => {
                    Ok(Acknowledged::new("Stream already stopped", id))
                }
                named => Err(no_stream(named.as_deref())),
            };
        };
        let id = slot.id().to_owned();
        // A task of its own, so that a caller that hangs up during a start still stops the stream.
        let stopped = tokio::spawn(async move { slot.stop().await });
        stopped.await.map_err(|_| Refusal::internal("stopping the stream panicked"))?;
        Ok(Acknowledged::new("Stream stopped", id))
    }

    /// How the worker is doing, and the stream that is meant: the named one, running or ended; otherwise the
    /// only one; or where none runs, the one that ended last.
    pub(crate) fn status(&self, named: Option<&str>) -> Result<Status, Refusal> {
        let HealthAnswer { status, error, stream_state, .. } = self.health();
        let streams: Vec<_> = self.streams.sessions().iter().map(|session| session.status()).collect();
        let last_stream = self.streams.last();
        let figures = match self.streams.meant(named) {
            Some(Meant::Running(session)) => StatusFigures::Stream(Box::new(session.status())),
            Some(Meant::Ended(last)) => StatusFigures::Stream(last),
            Some(Meant::Starting) => StatusFigures::Worker(Overview::of(StreamState::Loading, &[])),
            None if named.is_some() => return Err(no_stream(named)),
            None => {
                let worker = match status {
                    Health::Loading => StreamState::Loading,
                    Health::Error => StreamState::Error,
                    Health::Idle | Health::Ok => StreamState::Offline,
                };
                StatusFigures::Worker(Overview::of(stream_state.unwrap_or(worker), &streams))
            }
        };
        Ok(Status { status, error, capacity: self.streams.capacity(), figures, streams, last_stream })
    }

    /// Everything that is counted, as Prometheus text.
    pub(crate) async fn metrics(self: Arc<Self>) -> Result<String, Refusal> {
        let gpus = self.hardware.glance().await.unwrap_or_else(Gpus::none);
        // The GPUs that streams are on are asked what they have counted, and the system what this process
        // takes.
        let text = tokio::task::spawn_blocking(move || {
            let counts = self.streams.counts();
            let worker = metrics::text(self.streams.capacity(), &counts, &gpus, ProcessUsage::now())?;
            let running = counts.running.into_iter().map(|(id, metrics, _)| (id, metrics)).collect();
            let figures = Figures { running, ended: counts.ended, all: counts.all };
            Ok::<_, prometheus::Error>(worker + &self.metrics.text(&figures)?)
        });
        text.await.map_err(|e| Refusal::internal(chain(&e)))?.map_err(|e| Refusal::internal(chain(&e)))
    }

    /// What the driver says of the GPUs; none where it says nothing.
    pub(crate) async fn gpus(&self) -> Gpus {
        self.hardware.read().await.unwrap_or_else(Gpus::none)
    }

    /// What this machine has for video. Probed once, since that opens every GPU for a moment, and a session
    /// of its encoder.
    pub(crate) async fn machine(&self) -> Result<Arc<Machine>, Refusal> {
        let no_answer = || Refusal::internal("what serves video here could not be found out in time");
        self.machine.get(Duration::MAX, PROBE).await.ok_or_else(no_answer)
    }
}

fn no_stream(named: Option<&str>) -> Refusal {
    match named {
        Some(id) => Refusal::new(StatusCode::BAD_REQUEST, format_args!("no stream {id} is running")),
        None => Refusal::bad("no stream is running"),
    }
}
