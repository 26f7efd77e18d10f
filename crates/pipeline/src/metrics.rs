//! What a stream counts: the figures of the status, and per-stage latencies for Prometheus.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::gpu;

/// The figures of one stream, under the names that PyTrickle's users know, and where every picture went:
/// `frames_in` = `frames_out` + `frames_dropped` + `frames_paced` + `frames_withheld` + `frames_failed` + those in
/// flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Metrics {
    /// Output pictures per second, over the last two seconds.
    pub fps: f64,
    /// Mean time from a picture's arrival to its encoded access unit, over the last two seconds, in ms.
    pub latency_ms: f64,
    /// GPU memory in use, in MiB; 0 where there is none.
    pub gpu_memory_mb: f64,
    /// Pictures that the processor was given.
    pub frames_processed: u64,
    /// Pictures dropped because something was slower than the input.
    pub frames_dropped: u64,
    /// Errors of any kind: decoding, the processor, encoding.
    pub error_count: u64,
    /// Access units of video that arrived.
    pub frames_in: u64,
    /// Bytes of input taken, whatever they were.
    pub input_bytes: u64,
    /// Pictures that were encoded.
    pub frames_out: u64,
    /// Pictures left out to keep to the frame rate that was asked for.
    pub frames_paced: u64,
    /// Pictures that the processor withheld.
    pub frames_withheld: u64,
    /// Pictures lost to errors.
    pub frames_failed: u64,
    /// Pictures that a time-out let pass unprocessed, or withheld; they are in one of the figures above as well.
    pub frames_late: u64,
    /// Output bytes dropped because the publishing side did not take them.
    pub output_bytes_dropped: u64,
    /// Lines of data that the processor emitted.
    pub data_lines: u64,
    /// Those of them that were dropped because the data channel did not take them.
    pub data_lines_dropped: u64,
    /// Events dropped because the events channel did not take them.
    pub events_dropped: u64,
}

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters that a stream's threads write to.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) arrived: Counter,
    pub(crate) input_bytes: Counter,
    pub(crate) processed: Counter,
    /// Shared with the queues that drop.
    pub(crate) dropped: Arc<Counter>,
    pub(crate) paced: Counter,
    pub(crate) withheld: Counter,
    pub(crate) failed: Counter,
    pub(crate) late: Counter,
    pub(crate) errors: Counter,
    pub(crate) sent: Counter,
    pub(crate) output_bytes_dropped: Counter,
    pub(crate) events_dropped: Counter,
    pub(crate) decode: Histogram,
    /// How old a picture is when the processor is given it.
    pub(crate) wait: Histogram,
    pub(crate) process: Histogram,
    pub(crate) encode: Histogram,
    batch_sizes: HistogramVec,
    total: Histogram,
    recent: Mutex<Recent>,
    arrivals: Mutex<Recent>,
}

/// The stages whose time is measured.
const STAGES: [&str; 5] = ["decode", "wait", "process", "encode", "total"];

impl Recorder {
    pub(crate) fn new(registry: &MetricsRegistry, stream: &str) -> Self {
        let stage = |name: &str| registry.stages.with_label_values(&[stream, name]);
        Self {
            arrived: Counter::default(),
            input_bytes: Counter::default(),
            processed: Counter::default(),
            dropped: Arc::default(),
            paced: Counter::default(),
            withheld: Counter::default(),
            failed: Counter::default(),
            late: Counter::default(),
            errors: Counter::default(),
            sent: Counter::default(),
            output_bytes_dropped: Counter::default(),
            events_dropped: Counter::default(),
            decode: stage(STAGES[0]),
            wait: stage(STAGES[1]),
            process: stage(STAGES[2]),
            encode: stage(STAGES[3]),
            batch_sizes: registry.batch_sizes.clone(),
            total: stage(STAGES[4]),
            recent: Mutex::default(),
            arrivals: Mutex::default(),
        }
    }

    /// What a batched model counts the sizes of its calls in.
    pub(crate) fn batch_sizes(&self) -> Histogram {
        self.batch_sizes.with_label_values::<&str>(&[])
    }

    /// An access unit of video arrived at `now`.
    pub(crate) fn picture_in(&self, now: Instant) {
        self.arrived.add(1);
        // As in `picture_out`: taken once per picture.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(now, Duration::ZERO);
    }

    /// Access units of video per second, over the last two seconds.
    pub(crate) fn input_fps(&self) -> f64 {
        round(self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).rate_and_latency(Instant::now()).0)
    }

    /// A picture that arrived at `arrived` left the encoder at `now`.
    pub(crate) fn picture_out(&self, arrived: Instant, now: Instant) {
        let latency = now.saturating_duration_since(arrived);
        self.sent.add(1);
        self.total.observe(latency.as_secs_f64());
        // Taken once per picture by the encoding thread and once per status request: never contended.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(now, latency);
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Metrics {
        let (fps, latency) = self.recent.lock().unwrap_or_else(PoisonError::into_inner).rate_and_latency(now);
        Metrics {
            fps: round(fps),
            latency_ms: round(latency.as_secs_f64() * 1e3),
            gpu_memory_mb: round(gpu::memory_mb()),
            frames_processed: self.processed.get(),
            frames_dropped: self.dropped.get(),
            error_count: self.errors.get(),
            frames_in: self.arrived.get(),
            input_bytes: self.input_bytes.get(),
            frames_out: self.sent.get(),
            frames_paced: self.paced.get(),
            frames_withheld: self.withheld.get(),
            frames_failed: self.failed.get(),
            frames_late: self.late.get(),
            output_bytes_dropped: self.output_bytes_dropped.get(),
            data_lines: 0,
            data_lines_dropped: 0,
            events_dropped: self.events_dropped.get(),
        }
    }
}

/// Two decimals are what a person reads.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The pictures of the last two seconds.
#[derive(Debug, Default)]
struct Recent(VecDeque<(Instant, Duration)>);

const WINDOW: Duration = Duration::from_secs(2);
/// More pictures than two seconds hold at any rate that is allowed.
const MOST_RECENT: usize = 512;

impl Recent {
    fn push(&mut self, now: Instant, latency: Duration) {
        if self.0.len() == MOST_RECENT {
            self.0.pop_front();
        }
        self.0.push_back((now, latency));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
    }

    fn rate_and_latency(&mut self, now: Instant) -> (f64, Duration) {
        self.forget(now);
        let (Some((first, _)), Some((last, _))) = (self.0.front(), self.0.back()) else {
            return (0.0, Duration::ZERO);
        };
        let span = last.saturating_duration_since(*first).as_secs_f64();
        let intervals = self.0.len() - 1;
        let fps = if span > 0.0 { intervals as f64 / span } else { 0.0 };
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        (fps, self.0.iter().map(|(_, latency)| *latency).sum::<Duration>() / count)
    }
}

/// Gathers the latencies of all streams of a worker for Prometheus.
#[derive(Debug, Clone)]
pub struct MetricsRegistry {
    registry: Registry,
    stages: HistogramVec,
    /// Without labels: nothing of it is to be seen until a batch is counted.
    batch_sizes: HistogramVec,
    fallbacks: IntCounterVec,
}

impl MetricsRegistry {
    /// An empty registry.
    ///
    /// # Errors
    /// Never in practice: the names are fixed and valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let buckets =
            vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0];
        let stages = HistogramVec::new(
            HistogramOpts::new("cutrickle_stage_seconds", "Time that a picture spent in a stage")
                .buckets(buckets),
            &["stream", "stage"],
        )?;
        registry.register(Box::new(stages.clone()))?;
        let batch_sizes = HistogramVec::new(
            HistogramOpts::new("cutrickle_batch_size", "Pictures in one call of a batched model")
                .buckets(vec![1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0]),
            &[],
        )?;
        registry.register(Box::new(batch_sizes.clone()))?;
        let fallbacks = IntCounterVec::new(
            Opts::new("cutrickle_gpu_fallbacks_total", "Times that the host did what a GPU was wanted for"),
            &["stage"],
        )?;
        registry.register(Box::new(fallbacks.clone()))?;
        Ok(Self { registry, stages, batch_sizes, fallbacks })
    }

    /// The registry itself, to register other metrics with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything as Prometheus text (format 0.0.4), the figures of `streams` (name, metrics) with it.
    ///
    /// # Errors
    /// Never in practice: the encoder writes to memory.
    pub fn text(&self, streams: &[(String, Metrics)]) -> Result<String, prometheus::Error> {
        let figures = Registry::new();
        type Read = fn(&Metrics) -> f64;
        let gauges: [(&str, &str, Read); 3] = [
            ("cutrickle_fps", "Output pictures per second", |m| m.fps),
            ("cutrickle_latency_ms", "Mean time from arrival to encoded, in ms", |m| m.latency_ms),
            ("cutrickle_gpu_memory_mb", "GPU memory in use, in MiB", |m| m.gpu_memory_mb),
        ];
        for (name, help, read) in gauges {
            let gauge = prometheus::GaugeVec::new(prometheus::Opts::new(name, help), &["stream"])?;
            for (stream, metrics) in streams {
                gauge.with_label_values(&[stream.as_str()]).set(read(metrics));
            }
            figures.register(Box::new(gauge))?;
        }
        let counters: [(&str, &str, Read); 14] = [
            ("cutrickle_input_bytes_total", "Bytes of input taken", |m| m.input_bytes as f64),
            ("cutrickle_frames_in_total", "Access units of video that arrived", |m| m.frames_in as f64),
            ("cutrickle_frames_processed_total", "Pictures given to the processor", |m| {
                m.frames_processed as f64
            }),
            ("cutrickle_frames_out_total", "Pictures encoded", |m| m.frames_out as f64),
            ("cutrickle_frames_dropped_total", "Pictures dropped for being late", |m| {
                m.frames_dropped as f64
            }),
            ("cutrickle_frames_paced_total", "Pictures left out to keep the frame rate", |m| {
                m.frames_paced as f64
            }),
            ("cutrickle_frames_withheld_total", "Pictures that the processor withheld", |m| {
                m.frames_withheld as f64
            }),
            ("cutrickle_frames_failed_total", "Pictures lost to errors", |m| m.frames_failed as f64),
            ("cutrickle_frames_late_total", "Pictures that a time-out did not wait for", |m| {
                m.frames_late as f64
            }),
            ("cutrickle_errors_total", "Errors of any kind", |m| m.error_count as f64),
            ("cutrickle_output_bytes_dropped_total", "Output bytes that nobody took", |m| {
                m.output_bytes_dropped as f64
            }),
            ("cutrickle_data_lines_total", "Lines of data emitted", |m| m.data_lines as f64),
            ("cutrickle_data_lines_dropped_total", "Lines of data that nobody took", |m| {
                m.data_lines_dropped as f64
            }),
            ("cutrickle_events_dropped_total", "Events that nobody took", |m| m.events_dropped as f64),
        ];
        for (name, help, read) in counters {
            let counter = prometheus::CounterVec::new(prometheus::Opts::new(name, help), &["stream"])?;
            for (stream, metrics) in streams {
                counter.with_label_values(&[stream.as_str()]).inc_by(read(metrics));
            }
            figures.register(Box::new(counter))?;
        }
        gpu::register(&figures)?;
        let mut families = figures.gather();
        families.extend(self.registry.gather());
        TextEncoder::new().encode_to_string(&families)
    }

    /// The host does what a GPU was wanted for: `device` (all of it), `video_decode` or `video_encode`.
    pub(crate) fn fell_back(&self, stage: &str) {
        self.fallbacks.with_label_values(&[stage]).inc();
    }

    /// Forgets a stream that ended, so that the text does not grow with every stream there ever was.
    pub(crate) fn forget(&self, stream: &str) {
        for stage in STAGES {
            // Failing means that it is gone already.
            let _ = self.stages.remove_label_values(&[stream, stage]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_latency_are_those_of_the_last_two_seconds() {
        let registry = MetricsRegistry::new().unwrap();
        let recorder = Recorder::new(&registry, "s");
        let start = Instant::now();
        for n in 0..150u32 {
            let out = start + Duration::from_millis(40) * n;
            recorder.picture_out(out.checked_sub(Duration::from_millis(20)).unwrap_or(out), out);
        }
        let now = start + Duration::from_millis(40) * 149;
        let metrics = recorder.snapshot(now);
        assert!((metrics.fps - 25.0).abs() < 0.1, "{metrics:?}");
        assert!((metrics.latency_ms - 20.0).abs() < 0.5, "{metrics:?}");
        let silent = recorder.snapshot(now + Duration::from_secs(3));
        assert_eq!((silent.fps, silent.frames_out), (0.0, 150));
    }

    #[test]
    fn a_stream_that_ended_leaves_no_trace_in_the_text() {
        let registry = MetricsRegistry::new().unwrap();
        let recorder = Recorder::new(&registry, "camera");
        recorder.picture_out(Instant::now(), Instant::now());
        let text = registry.text(&[("camera".into(), recorder.snapshot(Instant::now()))]).unwrap();
        assert!(text.contains(r#"cutrickle_frames_out_total{stream="camera"} 1"#), "{text}");
        assert!(text.contains(r#"stage="total",stream="camera""#), "{text}");
        registry.forget("camera");
        assert!(!registry.text(&[]).unwrap().contains("camera"));
    }
}
