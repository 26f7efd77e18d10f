//! The server from its start to its end.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cutrickle_pipeline::{FrameProcessor, MetricsRegistry, StreamOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::announce::Announcer;
use crate::connections::Connections;
use crate::launch::Load;
use crate::limits::Limits;
use crate::worker::Worker;
use crate::{Error, StreamServerBuilder};

/// How long after the streams' own deadline the last answers may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A worker's HTTP server: a [`FrameProcessor`] behind Livepeer's REST contract, which is PyTrickle's.
///
/// ```no_run
/// use cutrickle_pipeline::FrameProcessor;
/// use cutrickle_server::{Error, StreamServer};
///
/// async fn serve(processor: impl FrameProcessor) -> Result<(), Error> {
///     StreamServer::builder(processor).port(8000).target_fps(24).build()?.run_forever().await
/// }
/// ```
///
/// The socket listens at once; the processor's `initialize` runs meanwhile. When it fails the process stays up and
/// says so.
///
/// # Endpoints
/// | endpoint | does |
/// | --- | --- |
/// | `POST /api/stream/start` | starts a stream: `subscribe_url`, `publish_url`, `params` and, from an orchestrator, `gateway_request_id`, `control_url`, `events_url`, `data_url` |
/// | `POST /api/stream/params` | gives a running stream new parameters: a flat JSON object |
/// | `POST /api/stream/stop` | ends a stream, and answers when its slot is free; the body is ignored |
/// | `GET /api/stream/status` | how the worker and its streams are doing, with the metrics |
/// | `/stream/start`, `params`, `stop`, `status` | the same four |
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
/// # What is answered
/// JSON everywhere but in `/metrics`. Success is 200; calls about a stream answer
/// `{"status": "success", "message": …, "stream_id": …}`, a start `request_id` and `current_state` (what `/health` says)
/// beside them. Parameters that a busy processor has not taken within 2 s are answered 202. Everything else is
/// `{"error": "<one line>"}`:
///
/// | code | when |
/// | --- | --- |
/// | 400 | a malformed body, a field or parameter of the wrong type (named in the text), no URL; parameters that the processor refuses, or of a name that it says it does not take; parameters or a stop for a stream that does not run |
/// | 404, 405 | no such path; not with this method (`Allow` says which) |
/// | 408, 413 | the body took more than 30 s ([`Limits`]), or is larger than 10 MiB |
/// | 431 | the head is larger than 64 KiB, or has more than 100 fields; no JSON here |
/// | 401 | a call about a stream without the worker's token, where it has one |
/// | 409 | parameters or a stop that names no stream, while several run |
/// | 503 | a start while loading, after a failed `initialize`, at capacity, or while shutting down |
/// | 500 | the stream could not be started for a reason of the worker's own |
///
/// `/health` answers 200 in all states but ERROR, where it is 503 (and LOADING with
/// [`strict_health`](StreamServerBuilder::strict_health)): only a failed `initialize` takes a worker out of rotation. A
/// stream that ends by an error does not, its slot is free for the next one; nor does a worker at its capacity, since
/// orchestrators that poll it end all streams of one that is not healthy.
///
/// # Streams
/// A stream's name is the start's `X-Stream-Id` header, else its `gateway_request_id`, else made up. `params`, `stop`
/// and `status` mean the stream that their `X-Stream-Id` names, else their `?stream=`, else the
/// `gateway_request_id` of the body, else the only one. A `Content-Type` may be anything or missing.
///
/// Any of input (`subscribe_url`), output (`publish_url`) and data (`data_url`) may be left out, but not all three.
/// Parameters may also come over `control_url`, one JSON object a segment; what happens to the stream is told on
/// `events_url`.
///
/// An empty URL is none. Numbers may be strings and need not be whole: `width` and `height` are rounded down to even
/// numbers, `max_framerate` to the nearest whole one.
///
/// New parameters come into force together or not at all, and the status shows those that are. A composition of
/// processors is asked part by part: what some of its parts took before another refused is in force, and the refusal names
/// it. Parameters over `control_url` are refused by an `error` event and in `last_error`; the stream goes on.
///
/// A start answers as soon as the stream runs; it does not wait for media, so that an address at which nothing
/// answers is seen in the status, not here. A stream whose input ends frees its slot by itself. Stopping a stream
/// that has just ended, by its name, is a success; without its name it is 400, as there is nothing to stop.
///
/// # Status
/// `status` is the worker's health. Everything of a stream's [`StreamStatus`](cutrickle_pipeline::StreamStatus) stands
/// beside it at the top level: `state`, `fps`, `latency_ms`, `gpu_memory_mb`, `frames_processed`, `frames_dropped`,
/// `error_count`, `backends` and more. It is the stream that was named; else the only one that runs; else, on an idle
/// worker, the one that ended last, with its `end_reason`. Where several run and none is named, `state` is the worst of
/// theirs, and their figures are added up. Before the first stream `state` is the worker's own (LOADING, ERROR or OFFLINE)
/// and the figures are 0.
///
/// `streams` has all that run, `capacity` how many may. The last 32 that ended are remembered, and can be named:
/// `last_stream` is the newest of them. Their `fps`, `latency_ms` and `gpu_memory_mb` are 0, and `params` of more than
/// 64 KiB are left out.
///
/// # Metrics
/// `/metrics` has each stream's figures under its name for as long as it runs or is remembered, and those of all streams
/// that there ever were as `cutrickle_worker_*_total`, which never go back. A driver that takes its time is not waited for:
/// the figures of the GPUs are those that it gave last.
pub struct StreamServer {
    pub(crate) address: SocketAddr,
    pub(crate) worker: Arc<Worker>,
    pub(crate) load: Load,
    pub(crate) announcer: Announcer,
    pub(crate) options: StreamOptions,
    pub(crate) devices: Vec<candle_core::Device>,
    pub(crate) metrics: MetricsRegistry,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
}

impl StreamServer {
    /// A server for `processor`, whose settings are all at their defaults.
    pub fn builder<P: FrameProcessor>(processor: P) -> StreamServerBuilder {
        StreamServerBuilder::new(processor)
    }

    /// Serves until SIGTERM or Ctrl-C, then ends every stream in order, hooks included.
    ///
    /// # Errors
    /// [`Error::is_address_in_use`]; otherwise that the socket could not be bound, or signals not be awaited.
    pub async fn run_forever(self) -> Result<(), Error> {
        // Before the socket: a signal that comes as soon as the port answers is not missed.
        let signal = Signal::new().map_err(|e| Error::failed("awaiting signals").because(e))?;
        let bound = self.bind().await?;
        tracing::info!("listening on http://{}", bound.local_addr());
        bound.run(signal.received()).await;
        Ok(())
    }

    /// Takes the port. Connections wait from here on, and are served by [`BoundServer::run`].
    ///
    /// # Errors
    /// [`Error::is_address_in_use`]; otherwise that the socket could not be bound.
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
            .field("options", &self.options)
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

    /// Initialises the processor and serves, until `shutdown` resolves. Then no connection is taken any more, every
    /// stream is ended in order (what is in flight is flushed, channels are closed, hooks run), and answers that
    /// are under way are given. All of that takes [`StreamOptions::stop_deadline`] and two seconds at most; what
    /// is left then is abandoned.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let StreamServer { worker, load, announcer, options, devices, metrics, router, limits, .. } =
            self.server;
        // So that the first who asks for the GPUs does not have to wait for the driver to be loaded.
        let hardware = Arc::clone(&worker);
        tokio::spawn(async move { hardware.gpus().await });
        let deadline = options.stop_deadline.saturating_add(LAST_ANSWERS);
        let (stop, stopping) = watch::channel(false);
        let known = {
            let (worker, mut ending) = (Arc::clone(&worker), stopping.clone());
            tokio::spawn(async move {
                tokio::select! {
                    loaded = load(options, devices, metrics) => worker.loaded(loaded),
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
            // No orchestrator sends anybody any more, while the last streams end.
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
        // Without a way to hear of Ctrl-C, only the system ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use cutrickle_frame::VideoFrame;
    use cutrickle_pipeline::Result;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::nvml::SharedHardware;

    #[derive(Clone)]
    struct Passthrough;

    impl FrameProcessor for Passthrough {
        async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
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
