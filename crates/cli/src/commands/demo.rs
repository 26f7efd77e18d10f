//! `cutrickle demo`: a source, a trickle server, a worker and a page to watch them on, in one process on
//! 127.0.0.1.
//!
//! They work together as they would on a network: the source publishes over HTTP, the stream is started by a
//! POST to the worker, and frames are counted as a viewer receives them.

mod page;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cutrickle::{DeviceChoice, StreamServer};
use cutrickle_mpegts::{Demuxer, Event};
use cutrickle_trickle::{ClientConfig, Server, ServerConfig, Start, Subscriber};
use cutrickle_worker::{Failure, Queue, end_signal, open_devices};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::output::print;
use crate::processors::{Name, Precision, chain};
use crate::progress;
use crate::source::{CLIP, Input, Pace, Source};
use crate::worker::Worker;
use page::Told;

/// The arguments of `cutrickle demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Processor to run.
    #[arg(long, value_enum, default_value_t = Name::Tint)]
    processor: Name,
    /// File of weights (safetensors) for `depth` or `segment`.
    #[arg(long, value_name = "PATH")]
    weights: Option<std::path::PathBuf>,
    /// Port of the page; 0 takes any free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where tensors live: `auto` (the first GPU, otherwise the CPU), `cpu`, or `cuda:0`.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    queue: Queue,
    /// Stop after this many output frames, and print the metrics as JSON.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
}

/// How long output may be missing before the demonstration fails.
const SILENCE: Duration = Duration::from_secs(20);
/// How long the worker and the source may take to end properly.
const ENDING: Duration = Duration::from_secs(10);
/// The metrics that scripts get, by their names in the status.
const METRICS: [&str; 6] =
    ["fps", "latency_ms", "gpu_memory_mb", "frames_processed", "frames_dropped", "error_count"];

/// Runs until a signal ends it, or for as many frames as were asked for.
pub async fn run(args: Args) -> Result<(), Failure> {
    let processor = chain(&[args.processor], Precision::default(), args.weights.as_slice())?;
    let page_at = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let page = TcpListener::bind(page_at)
        .await
        .map_err(|e| Failure::because(format!("listening on {page_at}"), e))?;
    let page_at = page.local_addr()?;

    let trickle = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), ServerConfig::default()).await?;
    let (input, output) = (format!("{}input", trickle.url()), format!("{}output", trickle.url()));
    let trickle = tokio::spawn(trickle.run(std::future::pending()));

    let opened = open_devices(&args.device)?;
    let worker = StreamServer::builder(processor)
        .host("127.0.0.1")
        .port(0)
        .devices(opened.devices)
        .with_options(|options| {
            options.device_fallback = opened.fallback;
            args.queue.apply(options);
        })
        .build()?
        .bind()
        .await?;
    let worker_url = format!("http://{}", worker.local_addr());
    let api = Worker::new(&worker_url)?;
    let (end_worker, worker_ends) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async {
        let _ = worker_ends.await;
    }));

    let told = Told {
        worker: worker_url,
        processor: args.processor.as_str().to_owned(),
        input: input.clone(),
        output: output.clone(),
    };
    let page = tokio::spawn(axum::serve(page, page::routes(told.clone())).into_future());

    let (end_source, source_ends) = oneshot::channel::<()>();
    let mut source = tokio::spawn(stream_clip(input.clone(), source_ends));
    api.start_when_ready(&input, &output).await?;

    if args.frames.is_none() {
        introduce(page_at, &told);
    }
    let (count, counted) = watch::channel(0);
    let result = tokio::select! {
        () = end_signal() => Ok(None),
        counted = count_frames(&output, args.frames, count) => match counted {
            Ok(()) => api.status().await.map(Some),
            Err(e) => Err(e),
        },
        ended = &mut source => Err(match ended {
            Ok(Err(e)) => e,
            _ => Failure::because("the source", "it ended"),
        }),
        () = show(counted.clone(), &api) => Ok(None),
    };
    let status = result?;

    // In this order the worker finishes what is in flight and closes its output channel before the input
    // channel is closed.
    api.stop().await?;
    let _ = end_worker.send(());
    let _ = tokio::time::timeout(ENDING, worker).await;
    let _ = end_source.send(());
    let _ = tokio::time::timeout(ENDING, source).await;
    page.abort();
    trickle.abort();
    if args.frames.is_some() {
        let status = status.ok_or_else(|| Failure::because("the demonstration", "it was interrupted"))?;
        print(format_args!("{}\n", figures(&status, *counted.borrow())))?;
    }
    Ok(())
}

async fn stream_clip(url: String, ends: oneshot::Receiver<()>) -> Result<(), Failure> {
    let mut source = Source::connect(&url, Pace::RealTime, ClientConfig::default()).await?;
    tokio::select! {
        streamed = source.run(Input::Clip(CLIP), true, |_| {}) => streamed?,
        _ = ends => {}
    }
    source.close().await.map(|_| ())
}

/// Counts the frames that a viewer of the channel receives, until there are as many as `wanted`.
async fn count_frames(url: &str, wanted: Option<u64>, count: watch::Sender<u64>) -> Result<(), Failure> {
    let mut channel = Subscriber::new(url, Start::Current, ClientConfig::default())?;
    let mut demuxer = Demuxer::new();
    let silence = |_| Failure::because("the output", format!("nothing came for {} s", SILENCE.as_secs()));
    loop {
        let segment = tokio::time::timeout(SILENCE, channel.next()).await.map_err(silence)??;
        let Some(mut segment) = segment else {
            return Err(Failure::because("the output", "the worker ended it"));
        };
        let mut sink = |event| {
            if matches!(&event, Event::Unit(unit) if unit.codec.is_video()) {
                count.send_modify(|count| *count += 1);
            }
        };
        while let Some(chunk) = tokio::time::timeout(SILENCE, segment.chunk()).await.map_err(silence)? {
            demuxer.push(&chunk, &mut sink);
            if wanted.is_some_and(|wanted| *count.borrow() >= wanted) {
                return Ok(());
            }
        }
        demuxer.end_segment(&mut sink);
    }
}

fn figures(status: &Value, frames_received: u64) -> Value {
    let mut figures = Map::new();
    for name in METRICS {
        figures.insert(name.to_owned(), status.get(name).cloned().unwrap_or(Value::Null));
    }
    figures.insert("frames_received".to_owned(), frames_received.into());
    Value::Object(figures)
}

/// Prints the addresses. It does not matter whether anybody reads them.
fn introduce(page: SocketAddr, told: &Told) {
    let Told { worker, input, output, .. } = told;
    let text = format!(
        "Watch it:  http://{page}/\n\n\
         worker     {worker}\n\
         input      {input}\n\
         output     {output}\n\n\
         Also: cutrickle record --url {output} --output - | ffplay -fflags nobuffer -\n\
         Ctrl-C ends it.\n"
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Shows the progress line. It never returns.
async fn show(counted: watch::Receiver<u64>, api: &Worker) {
    let line = progress::line("live");
    loop {
        let figure = |status: &Value, name| status.get(name).and_then(Value::as_f64).unwrap_or_default();
        if let Ok(status) = api.status().await {
            line.set_message(format!(
                "{} frames, {:.1} fps, {:.1} ms, {} dropped",
                *counted.borrow(),
                figure(&status, "fps"),
                figure(&status, "latency_ms"),
                figure(&status, "frames_dropped"),
            ));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_get_the_metrics_under_their_exact_names() {
        let status = serde_json::json!({ "fps": 29.9, "frames_dropped": 0, "state": "ONLINE" });
        let figures = figures(&status, 60);
        assert_eq!(figures["fps"], 29.9);
        assert_eq!(figures["frames_received"], 60);
        assert_eq!(figures.as_object().map(Map::len), Some(7));
        assert!(figures.get("latency_ms").is_some_and(Value::is_null) && figures.get("state").is_none());
    }
}
