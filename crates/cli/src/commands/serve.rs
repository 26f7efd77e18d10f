//! `cutrickle serve`: a worker with a built-in processor behind the REST API.

use cutrickle::compose::with_overlay;
use cutrickle::trickle::ClientConfig;
use cutrickle::{AudioOutput, Coding, DeviceChoice, RateControl, StreamServer, VideoCodec};

use cutrickle_codec::open::check_encoder;

use crate::device;
use crate::failure::Failure;
use crate::orchestration::Orchestration;
use crate::processors::{Name, Precision, chain};
use crate::streams::{Outages, Queue};

/// Arguments of `cutrickle serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is done to each picture; several, with commas between, one after another: `tint,mirror`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Name::Passthrough])]
    processor: Vec<Name>,
    /// A file of weights (safetensors) for `depth` or `segment`; where both are asked for, one for each, in their order.
    #[arg(long, value_name = "PATH")]
    weights: Vec<std::path::PathBuf>,
    /// The type that networks compute in.
    #[arg(long, value_enum, default_value_t)]
    dtype: Precision,
    /// Port of the REST API; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Address that the REST API listens on.
    #[arg(long, default_value = "0.0.0.0")]
    host: String,
    /// Output pictures per second, 1 to 60; the input's rate if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
    target_fps: Option<u32>,
    #[command(flatten)]
    queue: Queue,
    /// Decoded pictures that may wait before the oldest is dropped, with `--queue all`.
    #[arg(long, default_value_t = 30)]
    max_queue_size: usize,
    #[command(flatten)]
    outages: Outages,
    /// The name that the worker goes by.
    #[arg(long, env = "CAPABILITY_NAME", default_value = "live-video-to-video")]
    capability_name: String,
    /// Streams that may run at a time.
    #[arg(long, env = "CAPABILITY_CAPACITY", default_value_t = 1)]
    capacity: usize,
    /// Token that callers of the stream endpoints must show as `Authorization: Bearer TOKEN`.
    #[arg(long, env = "CAPABILITY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    auth_token: Option<String>,
    /// Connect only to hosts like this: `host`, `*.domain`, with or without `:port`. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    allow_host: Vec<String>,
    /// Send the whole status beside each heartbeat on a stream's events channel.
    #[arg(long)]
    status_events: bool,
    /// Where tensors are: `auto` (the first GPU, else the CPU), `cpu`, `cuda:0`, or several with commas between, over
    /// which streams are spread.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Output video bits per second; by size and rate if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(MIN_BITRATE..))]
    bitrate: Option<u32>,
    #[command(flatten)]
    coding: Video,
    /// The codec that sound leaves in.
    #[arg(long, value_enum, default_value_t = Sound::Source)]
    audio: Sound,
    /// Accept any TLS certificate (orchestrators often have self-signed ones).
    #[arg(long)]
    insecure_skip_verify: bool,
    /// PEM file of certificates to trust beside the usual roots.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    orchestration: Orchestration,
}

/// A bitrate below this is a mistake: no picture is left at it.
const MIN_BITRATE: i64 = 1000;

/// The codec that sound leaves in.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sound {
    /// The input's own; untouched sound is sent on as it came.
    Source,
    /// Opus, which is all that WHEP viewers can hear.
    Opus,
}

/// How output video is coded.
#[derive(Debug, clap::Args)]
struct Video {
    /// The codec that video leaves in. Only GPUs have an encoder for H.265; while all its sessions are taken it is H.264
    /// after all.
    #[arg(long, value_enum, default_value_t = Codec::H264)]
    video_codec: Codec,
    /// Let a second have up to twice the bits, if it needs them and others do not.
    #[arg(long)]
    variable_bitrate: bool,
    /// The same quality throughout, from 1 (best) to 51, at whatever bitrate that takes.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=51), conflicts_with_all = ["bitrate", "variable_bitrate"])]
    quality: Option<u8>,
    /// Effort of a GPU's encoder: its presets P1 (fastest) to P7 (best).
    #[arg(long, value_name = "PRESET", value_parser = clap::value_parser!(u8).range(1..=7), default_value_t = Coding::default().preset)]
    encoder_preset: u8,
}

impl Video {
    fn coding(&self) -> Coding {
        Coding {
            codec: match self.video_codec {
                Codec::H264 => VideoCodec::H264,
                Codec::H265 => VideoCodec::H265,
            },
            rate: match self.quality {
                Some(quality) => RateControl::Quality(quality),
                None if self.variable_bitrate => RateControl::Variable,
                None => RateControl::Constant,
            },
            preset: self.encoder_preset,
        }
    }
}

/// The codec that video leaves in.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Codec {
    /// Which everything plays.
    H264,
    /// Smaller, and unknown to many browsers.
    H265,
}

/// Runs until a signal ends it.
pub async fn run(args: Args) -> Result<(), Failure> {
    let processor = chain(&args.processor, args.dtype, &args.weights)?;
    let trickle = ClientConfig {
        insecure_skip_verify: args.insecure_skip_verify,
        ca_file: args.ca_file,
        ..ClientConfig::default()
    };
    if let Err(e) = trickle.tls() {
        return Err(Failure::because("--ca-file", e).at_start());
    }
    let opened = device::open(&args.device)?;
    let coding = args.coding.coding();
    for device in &opened.devices {
        check_encoder(coding.codec, device).map_err(|e| Failure::because("--video-codec", e).at_start())?;
    }
    let mut server = StreamServer::builder(with_overlay(processor))
        .devices(opened.devices)
        .host(args.host)
        .port(args.port)
        .capability_name(args.capability_name.as_str())
        .max_queue_size(args.max_queue_size)
        .capacity(args.capacity)
        .auth_token(args.auth_token.as_deref().unwrap_or_default())
        .with_options(|options| {
            options.device_fallback = opened.fallback;
            options.bitrate = args.bitrate;
            options.coding = coding;
            options.status_events = args.status_events;
            options.audio = match args.audio {
                Sound::Source => AudioOutput::Source,
                Sound::Opus => AudioOutput::Opus,
            };
            options.trickle = trickle;
            args.queue.apply(options);
            args.outages.apply(options);
        });
    for pattern in &args.allow_host {
        server = server.allow_host(pattern);
    }
    if let Some(fps) = args.target_fps {
        server = server.target_fps(fps);
    }
    server = args.orchestration.apply(server, &args.capability_name)?;
    server.build().map_err(|e| Failure::from(e).at_start())?.run_forever().await?;
    Ok(())
}
