//! The server from its start to its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cutrickle_pipeline::Stage;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::announce::Announcer;
use crate::connections::Connections;
use crate::launch::{Load, Running};
use crate::limits::Limits;
use crate::worker::Worker;
use crate::{Error, StreamServerBuilder};

/// How long the last answers may take after the streams' own deadline.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A worker's HTTP server: a processor behind Livepeer's REST contract, which is PyTrickle's.
///
/// ```no_run
/// use cutrickle_pipeline::Stage;
/// use cutrickle_server::{Error, StreamServer};
///
/// async fn serve(processor: impl Stage) -> Result<(), Error> {
///     StreamServer::builder(processor).port(8000).target_fps(24).build()?.run_forever().await
/// }
/// ```
///
/// The socket listens at once, while the processor's `initialize` runs. Where that fails, the process stays
/// up and says why.
///
/// # Endpoints
/// | endpoint | does |
/// | --- | --- |
/// | `POST /api/stream/start` | starts a stream: `subscribe_url`, `publish_url`, `params` and, from an orchestrator, `gateway_request_id`, `control_url`, `events_url`, `data_url` |
/// | `POST /api/stream/params` | gives a running stream new parameters: a flat JSON object |
/// | `POST /api/stream/stop` | ends a stream, and answers when its slot is free; the body is ignored |
/// | `GET /api/stream/status` | how the worker and its streams are doing, with the metrics |
/// | `/stream/start`, `params`, `stop`, `status` | the same four |
/// | `GET /api/stream/schema` | the JSON schema of the processor's parameters, also while it loads |
/// | `POST /live-video-to-video` | as `/api/stream/start` |
/// | `GET /health` | `{"status": "LOADING"}`, `IDLE`, `OK` (streams run) or `ERROR` (with `error`); `active_streams`, and their worst `stream_state` |
/// | `GET /version` | `pipeline` (the capability's name), `model_id`, `version` |
/// | `GET /app-version` | `version` |
/// | `GET /metrics` | Prometheus text, format 0.0.4 |
/// | `GET /hardware/info`, `/hardware/stats` | `gpu_info` and `gpu_stats`, by GPU number; none without a driver |
/// | `GET /openapi.json` | all of this as an OpenAPI 3.1 document, made from the types |
///
/// Browsers may call all of them from any origin (CORS).
///
/// # Answers
/// Everything but `/metrics` is JSON. Success is 200. Calls about a stream are answered `{"status":
/// "success", "message": …, "stream_id": …}`, and a start has `request_id` and `current_state` (what
/// `/health` says) in addition. New parameters that a busy processor has not taken within 2 s are answered
/// 202. Everything else is `{"error": "<one line>"}`:
///
/// | code | when |
/// | --- | --- |
/// | 400 | a malformed body; a field or parameter of the wrong type, which the text names; no URL; parameters that the processor refuses, or of a name that it does not take; parameters or a stop for a stream that does not run |
/// | 404, 405 | no such path; not with this method (`Allow` says which) |
/// | 408, 413 | the body took more than 30 s ([`Limits`]), or is larger than 10 MiB |
/// | 431 | the head is larger than 64 KiB, or has more than 100 fields; this one has no JSON |
/// | 401 | a call to a stream endpoint without the worker's token, where it has one |
/// | 409 | parameters or a stop that names no stream, while several run |
/// | 503 | a start while loading, after a failed `initialize`, at capacity, or while shutting down |
/// | 500 | the stream could not be started for a reason of the worker's own |
///
/// `/health` answers 200 in all states but ERROR, where it is 503 (and LOADING with
/// [`strict_health`](StreamServerBuilder::strict_health)): only a failed `initialize` takes a worker out of
/// rotation. A stream that ends with an error does not, as its slot is free for the next one. Neither does a
/// worker at its capacity, since orchestrators that poll a worker's health end all of its streams when it is
/// not healthy.
///
/// # Streams
/// A stream's name is the start's `X-Stream-Id` header, otherwise its `gateway_request_id`, otherwise made
/// up. `params`, `stop` and `status` mean the stream that their `X-Stream-Id` names, otherwise their
/// `?stream=`, otherwise the `gateway_request_id` of the body, otherwise the only one. The `Content-Type` may
/// be anything or missing.
///
/// Any of input (`subscribe_url`), output (`publish_url`) and data (`data_url`) may be left out, but not all
/// three. Parameters may also come over `control_url`, one JSON object per segment, and `events_url` is told
/// what happens to the stream.
///
/// An empty URL counts as none. Numbers may be strings and need not be whole: `width` and `height` are
/// rounded down to even numbers, `max_framerate` to the nearest whole one.
///
/// New parameters come into force together or not at all, and the status shows those in force. A composition
/// of processors is asked part by part: what some of its parts took before another one refused is in force,
/// and the refusal names it. Parameters over `control_url` are refused with an `error` event and in
/// `last_error`; the stream goes on.
///
/// A start is answered as soon as the stream runs. It does not wait for media, so an address that nothing
/// answers at is reported in the status, not here. A stream whose input ends frees its slot by itself.
/// Stopping a stream that has already ended succeeds if it is named; without a name it is 400, as there is
/// nothing to stop.
///
/// # Status
/// `status` is the worker's health. Everything in a stream's
/// [`StreamStatus`](cutrickle_pipeline::StreamStatus) is beside it at the top level: `state`, `fps`,
/// `latency_ms`, `gpu_memory_mb`, `frames_processed`, `frames_dropped`, `error_count`, `backends` and more.
/// The stream is the one that was named, otherwise the only one that runs, or on an idle worker the one that
/// ended last, with its `end_reason`. Where several run and none is named, `state` is the worst of theirs,
/// and their figures are added up. Before the first stream `state` is the worker's own (LOADING, ERROR or
/// OFFLINE) and the figures are 0.
///
/// `streams` has all that run, and `capacity` is how many may. The last 32 that ended are remembered and can
/// be named; `last_stream` is the newest of them. Their `fps`, `latency_ms` and `gpu_memory_mb` are 0, and
/// `params` of more than 64 KiB are left out.
///
/// # Metrics
/// `/metrics` has each stream's figures under its name for as long as it runs or is remembered. Those of all
/// streams since the worker's start are in `cutrickle_worker_*_total`, which never decrease. A slow driver is
/// not waited for: the figures of the GPUs are the last ones that it gave.
pub struct StreamServer {
    pub(crate) address: SocketAddr,
    pub(crate) worker: Arc<Worker>,
    pub(crate) load: Load,
    pub(crate) announcer: Announcer,
    pub(crate) running: Running,
    pub(crate) devices: Vec<candle_core::Device>,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
}

impl StreamServer {
    /// A server for `stage`, a processor or a composition of several, whose settings are all at their
    /// defaults.
    pub fn builder<S: Stage>(stage: S) -> StreamServerBuilder {
        StreamServerBuilder::new(stage)
    }

    /// Serves until SIGTERM or Ctrl-C, then ends every stream in order, hooks included.
    ///
    /// # Errors
    /// [`Error::is_address_in_use`], or another failure to bind the socket or to listen for signals.
    pub async fn run_forever(self) -> Result<(), Error> {
        // Before the socket, so that a signal that comes as soon as the port answers is not missed.
        let signal = Signal::new().map_err(|e| Error::failed("awaiting signals").because(e))?;
        let bound = self.bind().await?;
        tracing::info!("listening on http://{}", bound.local_addr());
        bound.run(signal.received()).await;
        Ok(())
    }

    /// Binds the port. Connections wait from here on, and are served by [`BoundServer::run`].
    ///
    /// # Errors
    /// [`Error::is_address_in_use`], or another failure to bind the socket.
    pub async fn bind(self) -> Result<BoundServer, Error> {
        let (host, port) = (self.address.ip(), self.address.port());
        let refused = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => Error::taken(format!("port {port} on {host} is taken")).because(e),
            _ => Error::failed(format!("cannot listen on port {port} on {host}")).because(e),
        };
        let listener = TcpListener::bind(self.address).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        Ok(BoundServer { server: self, listener, local_addr })
    }
}

impl fmt::Debug for StreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamServer")
            .field("address", &self.address)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// A server that has its port. From [`StreamServer::bind`].
#[derive(Debug)]
pub struct BoundServer {
    server: StreamServer,
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl BoundServer {
    /// The address that it listens on, with the port that the system chose where none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Initialises the processor and serves, until `shutdown` resolves. Then no more connections are
    /// accepted, every stream is ended in order (what is in flight is flushed, channels are closed, hooks
    /// run), and requests that are being answered are finished. All of that takes
    /// [`stop_deadline`](cutrickle_pipeline::StreamOptions::stop_deadline) and two seconds at most; what is
    /// left then is abandoned.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let StreamServer { worker, load, announcer, running, devices, router, limits, .. } = self.server;
        // So that the first call about the GPUs does not have to wait for the driver to be loaded.
        let hardware = Arc::clone(&worker);
        tokio::spawn(async move { hardware.gpus().await });
        let deadline = running.options.stop_deadline.saturating_add(LAST_ANSWERS);
        let (stop, stopping) = watch::channel(false);
        let known = {
            let (worker, mut ending) = (Arc::clone(&worker), stopping.clone());
            tokio::spawn(async move {
                tokio::select! {
                    loaded = load(running, devices) => worker.loaded(loaded),
                    _ = ending.wait_for(|stop| *stop) => return,
                }
                if worker.is_ready() {
                    announcer.run(worker, stopping).await;
                }
            })
        };
        let mut connections = Connections::new(self.listener, router, limits);
        connections.accept_until(shutdown).await;
        stop.send_replace(true);
        let mut open = connections.close();
        let all = async {
            // While the last streams end, no orchestrator sends any more.
            let _ = tokio::join!(known, worker.streams.close());
            while open.join_next().await.is_some() {}
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!("not everything ended within {deadline:?}: the rest is abandoned");
        }
    }
}

/// SIGTERM and Ctrl-C.
struct Signal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signal {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn received(self) {
        // Where Ctrl-C cannot be awaited, only the system ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use cutrickle_frame::VideoFrame;
    use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::nvml::SharedHardware;

    #[derive(Clone)]
    struct Passthrough;

    impl FrameProcessor for Passthrough {
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }

    async fn asked(address: SocketAddr, path: &str) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_driver_that_hangs_and_callers_that_hang_up_hold_nobody_up() {
        let (_hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let limits = Limits { connections: 8, ..Limits::default() };
        let mut builder = StreamServer::builder(Passthrough).host("127.0.0.1").port(0).limits(limits);
        builder.hardware = SharedHardware::new(move || {
            let _ = held.lock().unwrap().recv();
            Err("let go".into())
        });
        let server = builder.build().unwrap().bind().await.unwrap();
        let address = server.local_addr();
        let serving = tokio::spawn(server.run(std::future::pending()));
        for path in ["/metrics", "/hardware/stats"] {
            for _ in 0..200 {
                drop(asked(address, path).await);
            }
        }
        for path in ["/health", "/metrics", "/hardware/stats"] {
            let mut answer = String::new();
            let mut socket = asked(address, path).await;
            let read = socket.read_to_string(&mut answer);
            tokio::time::timeout(Duration::from_secs(60), read).await.expect(path).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        serving.abort();
    }
}
