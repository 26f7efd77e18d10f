//! The trickle server: accepts connections and drives them. What a request is answered is `service`'s
//! business.

mod body;
mod budget;
mod channel;
mod hooks;
mod local;
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
pub use local::{LocalPublisher, LocalSegmentReader, LocalSegmentWriter, LocalSubscriber};
pub use service::Service;
use socket::Socket;

/// The longest between two looks for idle channels.
const SWEEP: Duration = Duration::from_secs(60);

/// What a server does and how much it bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The path above the channels. `/`.
    pub base: String,
    /// Whether a POST creates its channel; else it is answered 404. On.
    pub auto_create: bool,
    /// How many segments of a channel are kept. 5.
    pub window: u64,
    /// A channel without a new segment for this long is closed, unless its name begins with `_`. 5 min.
    pub idle_timeout: Duration,
    /// Whether the channel `_changes` tells which channels come and go. Off.
    pub changefeed: bool,
    /// The most bytes of one segment; beyond it the POST is answered 413 and the segment closed. 64 MiB.
    pub max_segment_bytes: u64,
    /// The most memory that the segments of all channels may take together, those included that only a slow reader still
    /// holds. Beyond it the channel that holds the most loses its oldest segment (readers in the midst of it are
    /// disconnected); a segment for which that makes no room is answered 507 and closed. 1 GiB.
    pub max_total_bytes: u64,
    /// The most channels; beyond it a POST that would create one is answered 503. 10,000.
    pub max_channels: usize,
    /// The most connections; beyond it new ones are closed at once. 16,384.
    pub max_connections: usize,
    /// How often a POST that has sent no byte yet gets a `100 Continue`. 10 s.
    pub continue_interval: Duration,
    /// A peer that takes nothing of what it is sent for this long is disconnected. 30 s.
    pub write_timeout: Duration,
    /// How long a request's head may take, and how long a connection may be idle between requests. 30 s.
    pub head_timeout: Duration,
    /// How long one of the [`Hooks`] may take; then its request is answered 503. 5 s.
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
    /// Opens the port (0: any free one). Nothing is served before [`run`](Self::run), but connections
    /// already queue up.
    ///
    /// # Errors
    /// The address cannot be used, most often because another program listens there.
    pub async fn bind(address: SocketAddr, config: ServerConfig) -> io::Result<Server> {
        Server::bind_with_hooks(address, config, Hooks::default()).await
    }

    /// As [`bind`](Self::bind), with someone who is asked before channels come and go.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
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

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What a channel's name is to be appended to: `http://127.0.0.1:3389/base/`.
    pub fn url(&self) -> String {
        let base = self.config.base.trim_matches('/');
        let slash = if base.is_empty() { "" } else { "/" };
        format!("http://{}/{base}{slash}", self.address)
    }

    /// The channels, for asking about them or serving them elsewhere as well.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves until `shutdown` resolves, then cuts all connections. The end of the server is not the end
    /// of its channels' streams: nobody is told that a channel closed, clients may come back to another
    /// server. Dropping the future has the same effect.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        let period = (self.config.idle_timeout / 5).clamp(Duration::from_millis(10), SWEEP);
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
                    Ok((_, peer)) => tracing::warn!(%peer, "too many connections: one was refused"),
                    Err(error) => {
                        // Out of descriptors, most likely: they come back with the connections.
                        tracing::warn!(%error, "cannot accept a connection");
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

/// Lets the peer read the last answer: closing while its bytes are unread would destroy it.
async fn linger(mut socket: Socket) {
    const LONGEST: Duration = Duration::from_secs(1);
    const MOST: usize = 1 << 20;
    if socket.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut buffer = [0; 4096];
        let mut drained: usize = 0;
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            drained = drained.saturating_add(read);
            if drained > MOST {
                return;
            }
        }
    };
    let _ = timeout(LONGEST, drain).await;
}
