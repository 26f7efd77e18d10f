//! A single measurement: creates channels and subscribers, lets them run and adds up what they observed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connection::Target;
use crate::histogram::Histogram;
use crate::process::usage;
use crate::publish::{create, delete, publish};
use crate::rate::Rate;
use crate::subscribe::{Received, subscribe};

/// How long the subscribers get to connect before the first write.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the subscribers get to read the rest after the last write. What has not arrived by then is lost.
const MAX_DRAIN: Duration = Duration::from_secs(10);
/// How often the client measures how late it is itself.
const LATENESS_INTERVAL: Duration = Duration::from_millis(5);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub channels: usize,
    pub subscribers: usize,
    pub rate: Rate,
    pub seconds: u64,
    pub pid: Option<u32>,
}

/// Runs the measurement and returns the figures.
///
/// # Errors
/// Returns an error if the server cannot be reached, if it refuses a request, or if it drops a publisher.
pub async fn run(target: &'static Target, plan: Plan) -> io::Result<Value> {
    let shape = plan.rate.shape();
    let epoch = Instant::now();
    let names: Vec<String> =
        (0..plan.channels).map(|index| format!("load-{}-{index}", std::process::id())).collect();
    let mut subscribers = JoinSet::new();
    let mut positions = Vec::new();
    for (index, name) in names.iter().enumerate() {
        create(target, name).await?;
        for _ in 0..plan.subscribers {
            let next = Arc::<AtomicU64>::default();
            positions.push((index, next.clone()));
            let name = name.clone();
            subscribers.spawn(async move { subscribe(target, &name, shape, epoch, &next).await });
        }
    }
    tokio::time::sleep(SETTLE).await;
    let before = plan.pid.map(usage).transpose()?;
    let begin = Instant::now();
    let lateness = tokio::spawn(lateness(begin + Duration::from_secs(plan.seconds)));
    let mut publishers = JoinSet::new();
    for (index, name) in names.iter().enumerate() {
        let name = name.clone();
        // The channels write at different times.
        let phase = shape.interval.unwrap_or_default() * u32::try_from(index).unwrap_or(0)
            / u32::try_from(plan.channels).unwrap_or(1).max(1);
        let seconds = Duration::from_secs(plan.seconds);
        publishers.spawn(async move {
            let published = publish(target, &name, shape, epoch, begin + phase, seconds).await;
            published.map(|published| (index, published))
        });
    }
    let mut written = vec![0; plan.channels];
    let mut late = Histogram::default();
    while let Some(published) = publishers.join_next().await {
        let (index, published) = published.map_err(io::Error::other)??;
        late.merge(&published.late);
        if let Some(written) = written.get_mut(index) {
            *written = published.segments;
        }
    }
    let wrote_s = begin.elapsed().as_secs_f64();
    let is_behind = |(index, next): &(usize, Arc<AtomicU64>)| {
        written.get(*index).is_some_and(|&written| next.load(Ordering::Relaxed) < written)
    };
    let last = Instant::now() + MAX_DRAIN;
    while positions.iter().any(is_behind) && Instant::now() < last {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = plan.pid.map(usage).transpose()?;
    let mut received = Received::default();
    for (index, next) in &positions {
        let written = written.get(*index).copied().unwrap_or_default();
        received.lost += written.saturating_sub(next.load(Ordering::Relaxed));
    }
    for name in &names {
        delete(target, name).await?;
    }
    while let Some(seen) = subscribers.join_next().await {
        received.merge(&seen.map_err(io::Error::other)??);
    }
    late.merge(&lateness.await.map_err(io::Error::other)?);
    let gigabytes = received.bytes as f64 / 1e9;
    let cpu_s = before.zip(after).map(|(before, after)| after.cpu_s - before.cpu_s);
    Ok(json!({
        "channels": plan.channels,
        "subscribers": plan.channels * plan.subscribers,
        "seconds": seconds,
        "segments": written.iter().sum::<u64>(),
        "written_mb_s": written.iter().sum::<u64>() as f64 * shape.segment_bytes() as f64 / 1e6 / wrote_s,
        "delivered_mb_s": received.bytes as f64 / 1e6 / seconds,
        "lost_segments": received.lost,
        "wrong_writes": received.wrong,
        "broken_connections": received.broken,
        "latency_p50_ms": received.latency.quantile_ms(0.5),
        "latency_p99_ms": received.latency.quantile_ms(0.99),
        "latency_max_ms": received.latency.longest_ms(),
        "client_late_p50_ms": late.quantile_ms(0.5),
        "client_late_p99_ms": late.quantile_ms(0.99),
        "client_late_max_ms": late.longest_ms(),
        "client_cpu_s": usage(std::process::id()).ok().map(|usage| usage.cpu_s),
        "server_cpu_s": cpu_s,
        "server_cpu_s_per_gb": cpu_s.map(|cpu_s| cpu_s / gigabytes),
        "server_peak_rss_mb": after.map(|usage| usage.peak_mb),
    }))
}

/// Measures until `end` how late the tasks of this program are.
async fn lateness(end: Instant) -> Histogram {
    let mut late = Histogram::default();
    let mut due = Instant::now() + LATENESS_INTERVAL;
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        late.add(due.elapsed());
        due = due.max(Instant::now()) + LATENESS_INTERVAL;
    }
    late
}
