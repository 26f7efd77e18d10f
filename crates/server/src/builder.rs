//! Settings of a server, and their ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::routing::MethodRouter;
use candle_core::Device;
use cutrickle_live::TrickleOptions;
use cutrickle_pipeline::{MetricsRegistry, Stage, StreamOptions};
use serde_json::Value;

use crate::announce::Announcement;
use crate::answer::Identity;
use crate::hosts::AllowedHosts;
use crate::launch::{Load, Running, loader, params_schema};
use crate::limits::Limits;
use crate::live_runner::LiveRunner;
use crate::nvml::SharedHardware;
use crate::registration::Registration;
use crate::token::Token;
use crate::worker::{Settings, Worker};
use crate::{Error, StreamServer, routes};

/// Streams at a time, far beyond what any machine bears: whoever asks for more has made a mistake.
const MAX_CAPACITY: usize = 1024;

/// Makes a [`StreamServer`]. From [`StreamServer::builder`].
pub struct StreamServerBuilder {
    load: Load,
    /// Of the parameters that the stage takes.
    schema: Value,
    host: String,
    port: u16,
    identity: Identity,
    options: StreamOptions,
    trickle: TrickleOptions,
    devices: Vec<Device>,
    capacity: usize,
    token: Token,
    hosts: AllowedHosts,
    announcement: Announcement,
    strict_health: bool,
    limits: Limits,
    /// What reads the GPUs.
    pub(crate) hardware: SharedHardware,
    /// The first pattern of a host that was malformed.
    refused: Option<Error>,
    custom: Router,
}

impl StreamServerBuilder {
    pub(crate) fn new<S: Stage>(stage: S) -> Self {
        Self {
            schema: params_schema(&stage),
            load: loader(stage),
            host: "0.0.0.0".into(),
            port: 8000,
            identity: Identity {
                pipeline: "live-video-to-video".into(),
                model_id: String::new(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            options: StreamOptions::default(),
            trickle: TrickleOptions::default(),
            devices: Vec::new(),
            capacity: 1,
            token: Token::default(),
            hosts: AllowedHosts::default(),
            announcement: Announcement::default(),
            strict_health: false,
            limits: Limits::default(),
            hardware: SharedHardware::default(),
            refused: None,
            custom: Router::new(),
        }
    }

    /// The TCP port to listen on; 0 lets the system choose. 8000 unless set.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address to listen on: an IP address or `localhost`. `0.0.0.0`, all of IPv4, unless set.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The devices that streams are spread over. The processor is initialised once on each, and a new stream
    /// goes to the one with the fewest. The options' device, which is the CPU, unless set.
    #[must_use]
    pub fn devices(mut self, devices: impl IntoIterator<Item = Device>) -> Self {
        self.devices = devices.into_iter().collect();
        self
    }

    /// What the worker does, as `pipeline` in `/version`. `live-video-to-video` unless set.
    #[must_use]
    pub fn capability_name(mut self, name: impl Into<String>) -> Self {
        self.identity.pipeline = name.into();
        self
    }

    /// The model, as `model_id` in `/version`. Empty unless set.
    #[must_use]
    pub fn model_id(mut self, model_id: impl Into<String>) -> Self {
        self.identity.model_id = model_id.into();
        self
    }

    /// The application's version, as in `/version` and `/app-version`. This crate's unless set.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.identity.version = version.into();
        self
    }

    /// Output frames per second, 1 to 60; frames beyond are left out by their timestamps. Each stream keeps
    /// its input's rate unless set.
    #[must_use]
    pub fn target_fps(mut self, fps: u32) -> Self {
        self.options.target_fps = Some(fps);
        self
    }

    /// Decoded frames that may wait for the processor before the oldest is dropped; at least 1. 30 unless
    /// set.
    #[must_use]
    pub fn max_queue_size(mut self, frames: usize) -> Self {
        self.options.max_queue_size = frames;
        self
    }

    /// How many streams may run at a time, 1 to 1024; a start beyond is answered 503. 1 unless set.
    #[must_use]
    pub fn capacity(mut self, streams: usize) -> Self {
        self.capacity = streams;
        self
    }

    /// A token that calls to the stream endpoints must send (`Authorization: Bearer <token>`); without it
    /// they are answered 401. An empty token is none. Open to everyone unless set.
    #[must_use]
    pub fn auth_token(mut self, token: &str) -> Self {
        self.token = if token.is_empty() { Token::default() } else { Token::new(token) };
        self
    }

    /// Allows streams from and to hosts that match `pattern`: `host`, `*.domain` (every host below it) or an
    /// IP address, with or without `:port`. May be called several times. Any host is allowed unless it is
    /// called.
    #[must_use]
    pub fn allow_host(mut self, pattern: &str) -> Self {
        if let Err(e) = self.hosts.add(pattern) {
            self.refused.get_or_insert(e);
        }
        self
    }

    /// Registers with an orchestrator once the processor is initialised, retrying until that succeeds, and
    /// unregisters at the end.
    #[must_use]
    pub fn register(mut self, registration: Registration) -> Self {
        self.announcement.registration = Some(registration);
        self
    }

    /// Sends heartbeats to an orchestrator as a live runner, once the processor is initialised.
    #[must_use]
    pub fn live_runner(mut self, runner: LiveRunner) -> Self {
        self.announcement.live_runner = Some(runner);
        self
    }

    /// Whether `/health` answers 503 while the processor is being initialised. Orchestrators that poll the
    /// runners of a list need that; PyTrickle's callers expect 200 and read the text. Off unless set.
    #[must_use]
    pub fn strict_health(mut self, strict: bool) -> Self {
        self.strict_health = strict;
        self
    }

    /// How much of the worker its callers may use: connections, sizes and times.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes the limits: `.with_limits(|limits| limits.connections = 100)`.
    #[must_use]
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// All options of streams. Replaces what [`target_fps`](Self::target_fps) and
    /// [`max_queue_size`](Self::max_queue_size) have set before.
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Changes options of streams: `.with_options(|options| options.audio = AudioOutput::Opus)`.
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut StreamOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// How trickle servers are reached. TLS is the same for orchestrators.
    #[must_use]
    pub fn trickle(mut self, trickle: TrickleOptions) -> Self {
        self.trickle = trickle;
        self
    }

    /// Changes how trickle servers are reached: `.with_trickle(|trickle| trickle.client.insecure_skip_verify
    /// = true)`.
    #[must_use]
    pub fn with_trickle(mut self, change: impl FnOnce(&mut TrickleOptions)) -> Self {
        change(&mut self.trickle);
        self
    }

    /// Adds a path of one's own. The contract's paths go first.
    ///
    /// # Panics
    /// As [`Router::route`]: a malformed path, or the same path and method twice.
    #[must_use]
    pub fn route(mut self, path: &str, route: MethodRouter) -> Self {
        self.custom = self.custom.route(path, route);
        self
    }

    /// Adds paths of one's own. The contract's paths go first.
    ///
    /// # Panics
    /// As [`Router::merge`]: the same path and method twice.
    #[must_use]
    pub fn merge(mut self, routes: Router) -> Self {
        // At most one router may have a fallback; unknown paths are answered by ours.
        self.custom = self.custom.merge(routes.reset_fallback());
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: a setting out of its range; the text names it.
    pub fn build(self) -> Result<StreamServer, Error> {
        let Self {
            load,
            schema,
            host,
            port,
            identity,
            mut options,
            trickle,
            mut devices,
            capacity,
            token,
            hosts,
            refused,
            custom,
            ..
        } = self;
        let announcer = self.announcement.checked(&trickle.client)?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(Error::invalid(format!("capacity is {capacity}: 1 to {MAX_CAPACITY} is wanted")));
        }
        options.pipeline.clone_from(&identity.pipeline);
        if let Some(fps) = options.target_fps
            && !(1..=60).contains(&fps)
        {
            return Err(Error::invalid(format!("target_fps is {fps}: 1 to 60 is wanted")));
        }
        if options.max_queue_size == 0 {
            return Err(Error::invalid("max_queue_size is 0: at least 1 is wanted"));
        }
        if devices.is_empty() {
            devices.push(options.device.clone());
        }
        let address = address(&host)?;
        let limits = self.limits.checked()?;
        let metrics =
            MetricsRegistry::new().map_err(|e| Error::failed("the metrics' registry").because(e))?;
        let settings = Settings {
            identity,
            schema,
            capacity,
            token,
            hosts,
            strict_health: self.strict_health,
            body_timeout: limits.body_timeout,
            hardware: self.hardware,
        };
        let worker = Worker::new(settings, metrics.clone());
        let router = routes::router(std::sync::Arc::clone(&worker), custom);
        Ok(StreamServer {
            address: (address, port).into(),
            worker,
            load,
            announcer,
            running: Running { options, trickle, metrics },
            devices,
            router,
            limits,
        })
    }
}

impl fmt::Debug for StreamServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamServerBuilder")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("identity", &self.identity)
            .field("options", &self.options)
            .field("trickle", &self.trickle)
            .finish_non_exhaustive()
    }
}

fn address(host: &str) -> Result<IpAddr, Error> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse()
        .map_err(|_| Error::invalid(format!("host is {host:?}: an IP address or `localhost` is wanted")))
}
