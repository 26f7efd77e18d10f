//! What a worker does when it is called: the contract's logic, without HTTP's paths and methods.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use cutrickle_codec::probe::{self, Machine};
use cutrickle_error::chain;
use cutrickle_pipeline::{BoxError, MetricsRegistry};

use crate::answer::{Acknowledged, Health, Identity, Idle, Status, StatusFigures};
use crate::gpu_metrics::GpuMetrics;
use crate::hardware::Gpus;
use crate::hosts::AllowedHosts;
use crate::launch::Launch;
use crate::nvml::SharedHardware;
use crate::refusal::{Refusal, one_line};
use crate::request;
use crate::streams::Streams;
use crate::token::Token;
use tokio::sync::OnceCell;

/// A worker: its processor, once that is initialised, and its streams.
pub(crate) struct Worker {
    pub(crate) identity: Identity,
    pub(crate) streams: Arc<Streams>,
    pub(crate) token: Token,
    /// How long a request's body may take.
    pub(crate) body_timeout: Duration,
    hosts: AllowedHosts,
    strict_health: bool,
    metrics: MetricsRegistry,
    hardware: SharedHardware,
    gpu_metrics: GpuMetrics,
    machine: OnceCell<Machine>,
    phase: Mutex<Phase>,
}

/// What a worker is configured with, beside how its streams are run.
pub(crate) struct Settings {
    pub(crate) identity: Identity,
    pub(crate) capacity: usize,
    pub(crate) token: Token,
    pub(crate) hosts: AllowedHosts,
    pub(crate) strict_health: bool,
    pub(crate) body_timeout: Duration,
}

/// Where the prototype is.
enum Phase {
    Loading,
    Ready(Arc<Launch>),
    Failed(String),
}

impl Worker {
    pub(crate) fn new(settings: Settings, metrics: MetricsRegistry, gpu_metrics: GpuMetrics) -> Arc<Self> {
        let Settings { identity, capacity, token, hosts, strict_health, body_timeout } = settings;
        Arc::new(Self {
            identity,
            streams: Streams::new(capacity),
            token,
            body_timeout,
            hosts,
            strict_health,
            metrics,
            hardware: SharedHardware::default(),
            gpu_metrics,
            machine: OnceCell::new(),
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

    pub(crate) fn health(&self) -> (Health, Option<String>) {
        match &*self.phase() {
            Phase::Loading => (Health::Loading, None),
            Phase::Failed(reason) => (Health::Error, Some(reason.clone())),
            Phase::Ready(_) if self.streams.is_empty() => (Health::Idle, None),
            Phase::Ready(_) => (Health::Ok, None),
        }
    }

    /// Whether `/health` is to answer that no stream can be taken. A worker at its capacity is well: orchestrators that
    /// poll its health end all of its streams when it is not.
    pub(crate) fn is_unhealthy(&self, health: Health) -> bool {
        health == Health::Error || (self.strict_health && health == Health::Loading)
    }

    /// `initialize` has returned, and well.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(&*self.phase(), Phase::Ready(_))
    }

    /// Starts a stream; does not wait for its media.
    pub(crate) async fn start(
        self: Arc<Self>,
        named: Option<String>,
        body: Bytes,
    ) -> Result<Acknowledged, Refusal> {
        let launch = self.launch()?;
        // Parsing and the user's `clone` may take their time, and a caller that hangs up must not leave half a
        // start behind.
        let started = tokio::task::spawn_blocking(move || {
            let request = request::start(&body, named, &self.hosts)?;
            let id = request.id.clone();
            let slot = self.streams.reserve(&id)?;
            let running = self.streams.sessions();
            let session = launch.start(request, &running).map_err(|e| {
                if e.is_invalid() { Refusal::bad(chain(&e)) } else { Refusal::internal(chain(&e)) }
            })?;
            tracing::info!(stream = %id, "started");
            slot.fill(session);
            Ok(Acknowledged::new("Stream processing started", id))
        });
        started.await.unwrap_or_else(|_| Err(Refusal::internal("starting the stream panicked")))
    }

    /// Hands parameters to a stream.
    pub(crate) async fn params(
        self: Arc<Self>,
        named: Option<String>,
        body: Bytes,
    ) -> Result<Acknowledged, Refusal> {
        let updated = tokio::task::spawn_blocking(move || {
            let (params, named) = request::params(&body, named)?;
            let session = self.streams.find(named.as_deref())?.and_then(|slot| slot.session());
            let session = session.ok_or_else(|| no_stream(named.as_deref()))?;
            session.update_params(params).map_err(|e| Refusal::bad(chain(&e)))?;
            Ok(Acknowledged::new("Parameters updated", session.id().to_owned()))
        });
        updated.await.unwrap_or_else(|_| Err(Refusal::internal("updating the parameters panicked")))
    }

    /// Ends a stream, and answers when its slot is free.
    pub(crate) async fn stop(&self, named: Option<String>, body: Bytes) -> Result<Acknowledged, Refusal> {
        let named = request::stop(&body, named);
        let Some(slot) = self.streams.find(named.as_deref())? else {
            let ended = self.streams.last().map(|last| last.stream_id);
            return match named {
                // The caller named it, so it is that stream which has ended: by itself, or by an earlier stop.
                Some(id) if ended.as_ref() == Some(&id) => {
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

    /// How the worker is doing, and the stream that was named or is the only one.
    pub(crate) fn status(&self, named: Option<&str>) -> Result<Status, Refusal> {
        let (status, error) = self.health();
        let slot = self.streams.find(named)?;
        let last_stream = self.streams.last();
        if slot.is_none()
            && named.is_some()
            && named != last_stream.as_ref().map(|last| last.stream_id.as_str())
        {
            return Err(no_stream(named));
        }
        let figures = match slot.and_then(|slot| slot.session()) {
            Some(session) => StatusFigures::Stream(Box::new(session.status())),
            None => StatusFigures::Idle(Idle::default()),
        };
        let streams = self.streams.sessions().iter().map(|session| session.status()).collect();
        Ok(Status { status, error, capacity: self.streams.capacity(), figures, streams, last_stream })
    }

    /// Everything that is counted, as Prometheus text.
    pub(crate) async fn metrics(&self) -> Result<String, Refusal> {
        self.gpu_metrics.set(&self.gpus().await);
        let sessions = self.streams.sessions();
        let figures: Vec<_> =
            sessions.iter().map(|session| (session.id().to_owned(), session.metrics())).collect();
        self.metrics.text(&figures).map_err(|e| Refusal::internal(chain(&e)))
    }

    /// What the driver says of the GPUs; none where it says nothing.
    pub(crate) async fn gpus(&self) -> Gpus {
        self.hardware.read().await.unwrap_or_else(Gpus::none)
    }

    /// What serves video here. Found out once: it opens every GPU for a moment, and a session of its encoder.
    pub(crate) async fn machine(&self) -> Result<&Machine, Refusal> {
        let look = || tokio::task::spawn_blocking(probe::machine);
        self.machine.get_or_try_init(look).await.map_err(|e| Refusal::internal(chain(&e)))
    }
}

fn no_stream(named: Option<&str>) -> Refusal {
    match named {
        Some(id) => Refusal::new(StatusCode::BAD_REQUEST, format_args!("no stream {id} is running")),
        None => Refusal::bad("no stream is running"),
    }
}
