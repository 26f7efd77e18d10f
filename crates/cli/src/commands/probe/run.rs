//! The measurement itself: a stream goes through the worker, and the same stream is also read without it.

use std::sync::Arc;
use std::time::Duration;

use cutrickle_error::chain;
use cutrickle_trickle::{ClientConfig, Publisher, Start, Subscriber};
use cutrickle_worker::{Failure, end_signal};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::process::Process;
use super::receive::{Recording, receive};
use super::send::{Sent, send};
use super::source::Source;
use crate::worker::Worker;

/// Frames of the first seconds do not count for latency and CPU time.
pub const WARM_UP: Duration = Duration::from_secs(2);
/// How long to wait for the first output of a worker.
const NO_OUTPUT: Duration = Duration::from_secs(15);
/// After the last frame was sent, the output counts as finished once nothing has come for this long.
const SILENCE: Duration = Duration::from_secs(1);
/// The output counts as finished this long after the last frame was sent, even if it goes on.
const MAX_LAG: Duration = Duration::from_secs(10);
/// How long the channels may take to end after the stream was stopped.
const ENDING: Duration = Duration::from_secs(3);
/// How often the memory of the worker is read.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// What is measured, and by way of which server.
#[derive(Debug)]
pub struct Plan {
    /// The worker.
    pub worker: Worker,
    /// The URL of the trickle server, to which names of channels are appended.
    pub trickle: String,
    /// The parameters that the stream is started with.
    pub params: Value,
    /// The worker's process, if it is to be watched.
    pub process: Option<Process>,
}

/// What was noted during a measurement.
#[derive(Debug)]
pub struct Noted {
    /// When the frames were sent.
    pub sent: Sent,
    /// The input, as it arrives without the worker.
    pub path: Recording,
    /// The output.
    pub output: Recording,
    /// The time from the request that starts the stream to the first byte of output.
    pub first_byte: Duration,
    /// What the worker's process used, if it was watched.
    pub usage: Option<Usage>,
}

/// The CPU time and memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time, user and system, from the end of the warm-up to the last frame.
    pub cpu: Duration,
    /// Resident bytes before the stream was started.
    pub resident_idle: u64,
    /// The maximum of resident bytes while the stream ran.
    pub resident_peak: u64,
}

/// Runs the measurement. The stream is stopped in any case.
///
/// # Errors
/// The trickle server or the worker is unreachable or refuses, or there is no output.
pub async fn run(plan: &Plan, source: Arc<Source>) -> Result<Noted, Failure> {
    let stamp = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let channel = |side| format!("{}/probe-{stamp:x}-{side}", plan.trickle.trim_end_matches('/'));
    let (input, output) = (channel("in"), channel("out"));
    // The channels are created before anyone asks for them, so that nobody has to ask twice.
    let unreachable = |e| Failure::because(format!("the trickle server at {}", plan.trickle), e);
    let mut publisher = Publisher::new(&input, "video/MP2T", ClientConfig::default())
        .map_err(|e| Failure::usage(format!("--trickle: {}", chain(&e))))?;
    publisher.create().await.map_err(unreachable)?;
    Publisher::new(&output, "video/MP2T", ClientConfig::default())?.create().await.map_err(unreachable)?;
    let path = Recorder::start(&input)?;
    let through = Recorder::start(&output)?;

    let idle = plan.process.and_then(Process::resident);
    let began = Instant::now();
    let usage = plan
        .process
        .zip(idle)
        .map(|(process, idle)| tokio::spawn(watch(process, idle, began, source.wanted.seconds)));
    let sending = tokio::spawn({
        let source = Arc::clone(&source);
        async move { send(&mut publisher, &source.units, began).await.map(|sent| (sent, publisher)) }
    });
    plan.worker.start(&input, &output, &plan.params).await?;
    let measured = tokio::select! {
        measured = sent_and_received(sending, &through) => measured,
        () = end_signal() => Err(Failure::because("interrupted", "the stream is stopped")),
    };
    let stopped = plan.worker.stop().await;
    let (sent, publisher) = measured?;
    if let Err(failure) = stopped {
        tracing::warn!("{}", failure.line());
    }
    if let Err(error) = publisher.close().await {
        tracing::debug!(error = %chain(&error), "the input channel was not closed");
    }
    let usage = match usage {
        Some(usage) => usage.await?,
        None => None,
    };
    let output = through.end().await?;
    let first = output.segments.iter().flatten().next().map(|chunk| chunk.at);
    let first_byte = first.map(|at| at.saturating_duration_since(began)).unwrap_or_default();
    Ok(Noted { sent, path: path.end().await?, output, first_byte, usage })
}

/// Waits until everything has been sent, and until the output has ended or nothing comes any more.
async fn sent_and_received(
    sending: JoinHandle<Result<(Sent, Publisher), Failure>>,
    output: &Recorder,
) -> Result<(Sent, Publisher), Failure> {
    let mut latest = output.latest.clone();
    let began = timeout(NO_OUTPUT, latest.wait_for(Option::is_some)).await.is_ok_and(|first| first.is_ok());
    if !began {
        sending.abort();
        let text = format!("within {} s of the start", NO_OUTPUT.as_secs());
        return Err(Failure::because("the worker put out nothing", text));
    }
    let sent = sending.await??;
    let silence = async {
        loop {
            let last = (*latest.borrow_and_update()).unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(last.max(Instant::now() - SILENCE) + SILENCE) => return,
                changed = latest.changed() => if changed.is_err() { return },
            }
        }
    };
    if timeout(MAX_LAG, silence).await.is_err() {
        tracing::warn!("output goes on {} s after the last frame was sent", MAX_LAG.as_secs());
    }
    Ok(sent)
}

/// A task that records a channel.
struct Recorder {
    latest: watch::Receiver<Option<Instant>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Recording, Failure>>,
}

impl Recorder {
    fn start(url: &str) -> Result<Self, Failure> {
        let channel = Subscriber::new(url, Start::Seq(0), ClientConfig::default())?;
        let (heard, latest) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(receive(channel, heard, async {
            let _ = stopped.await;
        }));
        Ok(Self { latest, stop, task })
    }

    /// What was recorded. Waits a while for the channel to end.
    async fn end(mut self) -> Result<Recording, Failure> {
        match timeout(ENDING, &mut self.task).await {
            Ok(ended) => ended?,
            Err(_) => {
                let _ = self.stop.send(());
                self.task.await?
            }
        }
    }
}

/// Notes the CPU time from the end of the warm-up to the end of the stream, and the peak of memory
/// throughout.
async fn watch(process: Process, resident_idle: u64, began: Instant, seconds: u32) -> Option<Usage> {
    let mut resident_peak = resident_idle;
    let mut until = async |instant: Instant| {
        while Instant::now() < instant {
            sleep(MEMORY_INTERVAL.min(instant.saturating_duration_since(Instant::now()))).await;
            resident_peak = resident_peak.max(process.resident().unwrap_or(0));
        }
        process.cpu()
    };
    let before = until(began + WARM_UP).await?;
    let after = until(began + Duration::from_secs(seconds.into())).await?;
    Some(Usage { cpu: after.saturating_sub(before), resident_idle, resident_peak })
}
