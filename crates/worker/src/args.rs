//! The arguments of a worker, and the server that they ask for.

use std::path::PathBuf;

use cutrickle_frame::{DeviceChoice, OpenedDevices};
use cutrickle_pipeline::{AudioOutput, Stage};
use cutrickle_server::{StreamServer, StreamServerBuilder};
use cutrickle_trickle::ClientConfig;

use crate::{Failure, Orchestration, Outages, Queue, VideoArgs, open_devices};

/// Everything that can be said on the command line about a worker, but for the processor that it runs.
#[derive(Debug, clap::Args)]
pub struct WorkerArgs {
    /// Port of the REST API; 0 takes any free port.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Address that the REST API listens on.
    #[arg(long, default_value = "0.0.0.0")]
    host: String,
    /// Output frames per second, 1 to 60; the input's frame rate if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
    target_fps: Option<u32>,
    #[command(flatten)]
    queue: Queue,
    /// Decoded frames that may wait for the processor; with `--queue all` the oldest is dropped when there
    /// are more.
    #[arg(long, default_value_t = 30)]
    max_queue_size: usize,
    #[command(flatten)]
    outages: Outages,
    /// Name of the worker's capability.
    #[arg(long, env = "CAPABILITY_NAME", default_value = "live-video-to-video")]
    capability_name: String,
    /// Number of streams that may run at the same time.
    #[arg(long, env = "CAPABILITY_CAPACITY", default_value_t = 1)]
    capacity: usize,
    /// Token that calls to the stream endpoints must send as `Authorization: Bearer TOKEN`.
    #[arg(long, env = "CAPABILITY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    auth_token: Option<String>,
    /// Only connect to hosts that match: `host` or `*.domain`, with or without `:port`. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    allow_host: Vec<String>,
    /// Send the full status along with each heartbeat on a stream's events channel.
    #[arg(long)]
    status_events: bool,
    /// Where tensors live: `auto` (the first GPU, otherwise the CPU), `cpu`, `cuda:0`, or several GPUs that
    /// share the streams, comma-separated.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    video: VideoArgs,
    /// Codec of the output audio.
    #[arg(long, value_enum, default_value_t = Audio::Source)]
    audio: Audio,
    /// Accept any TLS certificate. Orchestrators often have self-signed ones.
    #[arg(long)]
    insecure_skip_verify: bool,
    /// PEM file of certificates to trust in addition to the usual ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    orchestration: Orchestration,
}

/// Codec of the output audio.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Audio {
    /// The input's codec; audio that was not processed is passed through.
    Source,
    /// Opus, the only codec that WHEP viewers can play.
    Opus,
}

impl WorkerArgs {
    /// How trickle servers and orchestrators are reached.
    fn client(&self) -> Result<ClientConfig, Failure> {
        let client = ClientConfig {
            insecure_skip_verify: self.insecure_skip_verify,
            ca_file: self.ca_file.clone(),
            ..ClientConfig::default()
        };
        client.tls().map_err(|e| Failure::because("--ca-file", e).at_start())?;
        Ok(client)
    }

    /// The server that these arguments describe, on devices that were opened.
    fn server<S: Stage>(
        self,
        stage: S,
        client: ClientConfig,
        opened: OpenedDevices,
    ) -> Result<StreamServerBuilder, Failure> {
        let mut server = StreamServer::builder(stage)
            .devices(opened.devices)
            .host(self.host)
            .port(self.port)
            .capability_name(self.capability_name.as_str())
            .max_queue_size(self.max_queue_size)
            .capacity(self.capacity)
            .auth_token(self.auth_token.as_deref().unwrap_or_default())
            .with_options(|options| {
                options.device_fallback = opened.fallback;
                options.status_events = self.status_events;
                options.audio = match self.audio {
                    Audio::Source => AudioOutput::Source,
                    Audio::Opus => AudioOutput::Opus,
                };
                self.video.apply(options);
                self.queue.apply(options);
                self.outages.apply(options);
            })
            .with_trickle(|trickle| {
                trickle.client = client;
                self.outages.apply_to_trickle(trickle);
            });
        for pattern in &self.allow_host {
            server = server.allow_host(pattern);
        }
        if let Some(fps) = self.target_fps {
            server = server.target_fps(fps);
        }
        self.orchestration.apply(server, &self.capability_name)
    }
}

/// Serves streams through `stage` until Ctrl-C or SIGTERM. `configure` is given the server that the arguments
/// describe, and has the last word on it: additional paths, a model's name, options that have no argument.
///
/// # Errors
/// Arguments that cannot be met, or an address that cannot be listened on.
pub async fn serve<S: Stage>(
    stage: S,
    args: WorkerArgs,
    configure: impl FnOnce(StreamServerBuilder) -> StreamServerBuilder,
) -> Result<(), Failure> {
    let client = args.client()?;
    let opened = open_devices(&args.device)?;
    let devices = opened.devices.clone();
    // Asked here, a codec that no encoder makes is an error. Streams would fall back to H.264.
    let mut checked = Ok(());
    let server = configure(args.server(stage, client, opened)?).with_options(|options| {
        let (backends, codec) = (&options.backends, options.coding.codec);
        checked = devices.iter().try_for_each(|device| backends.check_video_encoder(codec, device));
    });
    checked.map_err(|e| Failure::because("--video-codec", e).at_start())?;
    server.build().map_err(|e| Failure::from(e).at_start())?.run_forever().await?;
    Ok(())
}
