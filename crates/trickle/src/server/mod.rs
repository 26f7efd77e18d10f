//! The trickle server: accepts connections and drives them. `service` answers the requests.

mod body;
mod budget;
mod channel;
mod hooks;
mod registry;
mod segment;
mod service;
mod socket;
mod writer;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

pub use body::SegmentBody;
pub use hooks::{ChannelRequest, Hooks, Refusal};
pub use service::Service;
use socket::Socket;

/// The longest interval between two checks for idle channels.
const MAX_SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The settings and limits of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The path above the channels. `/` by default.
    pub base: String,
    /// Whether a POST creates its channel. Otherwise it is answered with 404. On by default.
    pub auto_create: bool,
    /// How many segments of a channel are kept. 5 by default.
    pub window: u64,
    /// A channel without a new segment for this long is closed, unless its name begins with `_`. 5 min by
    /// default.
    pub idle_timeout: Duration,
    /// Whether the channel `_changes` announces new and removed channels. Off by default.
    pub changefeed: bool,
    /// The largest size of a segment in bytes. If a POST exceeds it, it is answered with 413 and the
    /// segment is closed. 64 MiB by default.
    pub max_segment_bytes: u64,
    /// The memory that the segments of all channels may use together, including segments that only a slow
    /// reader still holds. Beyond this limit the largest channel loses its oldest segment, and readers in
    /// the middle of that segment are disconnected. If that does not make enough room, the POST is answered
    /// with 507 and its segment is closed. 1 GiB by default.
    pub max_total_bytes: u64,
    /// The largest number of channels. Beyond it, a POST that would create one is answered with 503. 10,000
    /// by default.
    pub max_channels: usize,
    /// The largest number of connections. Beyond it, new ones are closed at once. 16,384 by default.
    pub max_connections: usize,
    /// How often a POST that has not sent a byte yet gets a `100 Continue`. 10 s by default.
    pub continue_interval: Duration,
    /// A peer that reads nothing for this long is disconnected. 30 s by default.
    pub write_timeout: Duration,
    /// The time limit for the head of a request. It also limits how long a connection may be idle between
    /// requests. 30 s by default.
    pub head_timeout: Duration,
    /// The time limit for each of the [`Hooks`]. After it, the request is answered with 503. 5 s by default.
    pub hook_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            base: "/".into(),
            auto_create: true,
            window: 5,
            idle_timeout: Duration::from_secs(300),
            changefeed: false,
            max_segment_bytes: 64 << 20,
            max_total_bytes: 1 << 30,
            max_channels: 10_000,
            max_connections: 16_384,
            continue_interval: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            hook_timeout: Duration::from_secs(5),
        }
    }
}

/// A trickle server on a TCP port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: ServerConfig,
    service: Service,
}

impl Server {
    /// Binds to `address`. Port 0 selects any free port. Connections queue up until [`run`](Self::run) is
    /// called.
    ///
    /// # Errors
    /// The address cannot be used, most often because another program is listening on it.
    pub async fn bind(address: SocketAddr, config: ServerConfig) -> io::Result<Server> {
        Server::bind_with_hooks(address, config, Hooks::default()).await
    }

    /// Like [`bind`](Self::bind), with hooks that are called before channels are created and ended.
    ///
    /// # Errors
    /// The same as for [`bind`](Self::bind).
    pub async fn bind_with_hooks(
        address: SocketAddr,
        config: ServerConfig,
        hooks: Hooks,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let service = Service::with_hooks(&config, hooks);
        Ok(Server { listener, address, config, service })
    }

    /// The address on which the server is listening.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the channels, such as `http://127.0.0.1:3389/base/`. Append the name of a channel to
    /// it.
    pub fn url(&self) -> String {
        let base = self.config.base.trim_matches('/');
        let slash = if base.is_empty() { "" } else { "/" };
        format!("http://{}/{base}{slash}", self.address)
    }

    /// The service behind this server, for example to query its channels or to serve them elsewhere as well.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves until `shutdown` resolves, then closes all connections. Channels do not end with the server, so
    /// clients are not told that a channel was closed and may continue on another server. Dropping the future
    /// has the same effect.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        let period = (self.config.idle_timeout / 5).clamp(Duration::from_millis(10), MAX_SWEEP_INTERVAL);
        let mut sweep = interval(period);
        let timeouts = Timeouts { head: self.config.head_timeout, write: self.config.write_timeout };
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < self.config.max_connections => {
                        connections.spawn(serve(stream, self.service.clone(), timeouts));
                    }
                    Ok((_, peer)) => tracing::warn!(%peer, "refused a connection because there are too many"),
                    Err(error) => {
                        // Most likely there are no file descriptors left. Waiting avoids a busy loop until
                        // other connections have been closed.
                        tracing::warn!(%error, "could not accept a connection");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = sweep.tick() => self.service.sweep(),
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Timeouts {
    head: Duration,
    write: Duration,
}

async fn serve(stream: TcpStream, service: Service, timeouts: Timeouts) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let socket = Socket::new(stream, timeouts.write);
    let interim = socket.interim();
    let answer = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(interim.clone());
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), answer);
    match connection.without_shutdown().await {
        Ok(parts) => linger(parts.io.into_inner()).await,
        Err(error) => tracing::trace!(%error, "a connection ended"),
    }
}

/// Gives the peer time to read the last response. Closing a socket with unread input resets the connection,
/// and the response would be lost.
async fn linger(mut socket: Socket) {
    const MAX_TIME: Duration = Duration::from_secs(1);
    const MAX_BYTES: usize = 1 << 20;
    if socket.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut buffer = [0; 4096];
        let mut drained: usize = 0;
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            drained = drained.saturating_add(read);
            if drained > MAX_BYTES {
                return;
            }
        }
    };
    let _ = timeout(MAX_TIME, drain).await;
}
