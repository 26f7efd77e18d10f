//! Metrics as Prometheus text: those of each stream, and those of the worker, which outlive its streams. The
//! counting is done in `metrics`.

use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::gpu;
use crate::metrics::{COUNTED, CountedFigure, Metrics};

/// The bucket bounds for latencies in seconds, among them one and two frames at 30 frames per second.
const LATENCIES: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.034, 0.05, 0.067, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The bucket bounds for the frames of a batch.
const BATCHES: [f64; 11] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0];
/// The stages whose time is measured.
const STAGES: [&str; 5] = ["decode", "wait", "process", "encode", "total"];

/// The metrics that describe the current moment.
const MOMENTARY: [MomentaryFigure; 3] = [
    ("fps", "Output frames per second", |m| m.fps),
    ("latency_ms", "Mean time from arrival to encoded, in ms", |m| m.latency_ms),
    ("gpu_memory_mb", "GPU memory in use, in MiB", |m| m.gpu_memory_mb),
];

type MomentaryFigure = (&'static str, &'static str, fn(&Metrics) -> f64);

/// The metrics of a worker's streams, for [`MetricsRegistry::text`].
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// The running streams, by name.
    pub running: Vec<(String, Metrics)>,
    /// Streams that have ended, by name. The counts of streams with the same name are added up.
    pub ended: Vec<(String, Metrics)>,
    /// The total of all streams that have existed, as added up by [`Metrics::take_in`].
    pub all: Metrics,
}

/// Collects the latencies of all streams of a worker for Prometheus.
#[derive(Debug, Clone)]
pub struct MetricsRegistry {
    registry: Registry,
    stages: HistogramVec,
    all_stages: HistogramVec,
    /// Without labels, so that nothing is shown until a batch is counted.
    batch_sizes: HistogramVec,
    fallbacks: IntCounterVec,
}

/// The durations of a stage: of one stream, and of all streams of its worker.
#[derive(Debug)]
pub(crate) struct StageTime {
    own: Histogram,
    all: Histogram,
}

impl StageTime {
    pub(crate) fn observe(&self, seconds: f64) {
        self.own.observe(seconds);
        self.all.observe(seconds);
    }
}

impl MetricsRegistry {
    /// Creates an empty registry.
    ///
    /// # Errors
    /// Does not fail in practice, because the names are fixed and valid.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let histograms = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histograms = HistogramVec::new(options, labels)?;
            registry.register(Box::new(histograms.clone())).map(|()| histograms)
        };
        let stages = histograms(
            "cutrickle_stage_seconds",
            "Time that a frame spent in a stage",
            &LATENCIES,
            &["stream", "stage"],
        )?;
        let all_stages = histograms(
            "cutrickle_worker_stage_seconds",
            "Time that a frame of any stream spent in a stage",
            &LATENCIES,
            &["stage"],
        )?;
        let batch_sizes =
            histograms("cutrickle_batch_size", "Frames in one call of a batched model", &BATCHES, &[])?;
        let fallbacks = IntCounterVec::new(
            Opts::new("cutrickle_gpu_fallbacks_total", "Times that a stage fell back to the CPU"),
            &["stage"],
        )?;
        registry.register(Box::new(fallbacks.clone()))?;
        Ok(Self { registry, stages, all_stages, batch_sizes, fallbacks })
    }

    /// The underlying registry, for registering other metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns everything as Prometheus text (format 0.0.4), including `figures`.
    ///
    /// A stream has its own series, labelled with its name, while it is among `figures`, and its latencies
    /// while it runs. Series whose names begin with `cutrickle_worker_` count all streams and never decrease.
    ///
    /// # Errors
    /// Does not fail in practice, because the encoder writes to memory.
    pub fn text(&self, figures: &Figures) -> Result<String, Error> {
        let registry = Registry::new();
        for (name, help, read) in MOMENTARY {
            let gauges = GaugeVec::new(Opts::new(format!("cutrickle_{name}"), help), &["stream"])?;
            for (stream, metrics) in &figures.running {
                gauges.with_label_values(&[stream]).set(read(metrics));
            }
            registry.register(Box::new(gauges))?;
        }
        for counted in COUNTED {
            count(*counted, figures, &registry)?;
        }
        gpu::register(&registry)?;
        let mut families = registry.gather();
        families.extend(self.registry.gather());
        TextEncoder::new().encode_to_string(&families)
    }

    /// The durations of a stream's stage.
    pub(crate) fn stage(&self, stream: &str, stage: &str) -> StageTime {
        StageTime {
            own: self.stages.with_label_values(&[stream, stage]),
            all: self.all_stages.with_label_values(&[stage]),
        }
    }

    /// The histogram in which a batched model counts the sizes of its calls.
    pub(crate) fn batch_sizes(&self) -> Histogram {
        self.batch_sizes.with_label_values::<&str>(&[])
    }

    /// Counts a fallback to the CPU: `device` (all stages), `video_decode` or `video_encode`.
    pub(crate) fn fell_back(&self, stage: &str) {
        self.fallbacks.with_label_values(&[stage]).inc();
    }

    /// Removes the latencies of a stream that ended, so that the text does not grow with every stream that
    /// has existed.
    pub(crate) fn forget(&self, stream: &str) {
        for stage in STAGES {
            // An error means that it is gone already.
            let _ = self.stages.remove_label_values(&[stream, stage]);
        }
    }
}

/// Registers a counter labelled by stream, and one for all streams.
fn count(
    (name, help, figure): CountedFigure,
    Figures { running, ended, all }: &Figures,
    registry: &Registry,
) -> Result<(), Error> {
    let counters = IntCounterVec::new(Opts::new(format!("cutrickle_{name}_total"), help), &["stream"])?;
    for (stream, mut metrics) in running.iter().chain(ended).map(|(stream, metrics)| (stream, *metrics)) {
        counters.with_label_values(&[stream]).inc_by(*figure(&mut metrics));
    }
    registry.register(Box::new(counters))?;
    let (mut all, help) = (*all, format!("{help}, by all streams that there were"));
    let counter = IntCounter::new(format!("cutrickle_worker_{name}_total"), help)?;
    counter.inc_by(*figure(&mut all));
    registry.register(Box::new(counter))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::metrics::Recorder;

    #[test]
    fn a_stream_that_ended_keeps_its_counts_while_it_is_named_and_the_workers_outlive_it() {
        let registry = MetricsRegistry::new().unwrap();
        let recorder = Recorder::new(&registry, "camera");
        recorder.frame_out(Instant::now(), Instant::now());
        let metrics = recorder.snapshot(Instant::now());
        let camera = vec![("camera".to_owned(), metrics)];
        let running = Figures { running: camera.clone(), all: metrics, ..Figures::default() };
        let text = registry.text(&running).unwrap();
        for line in [
            r#"cutrickle_frames_out_total{stream="camera"} 1"#,
            r#"cutrickle_stage_seconds_count{stage="total",stream="camera"} 1"#,
            "cutrickle_worker_frames_out_total 1",
            r#"cutrickle_worker_stage_seconds_count{stage="total"} 1"#,
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
        }
        registry.forget("camera");
        let ended = Figures { ended: camera, all: metrics, ..Figures::default() };
        let text = registry.text(&ended).unwrap();
        assert!(text.contains(r#"cutrickle_frames_out_total{stream="camera"} 1"#), "{text}");
        assert!(!text.contains("cutrickle_fps{") && !text.contains("cutrickle_stage_seconds_"), "{text}");
        let text = registry.text(&Figures { all: metrics, ..Figures::default() }).unwrap();
        assert!(!text.contains("camera"), "{text}");
        assert!(text.contains("cutrickle_worker_frames_out_total 1\n"), "{text}");
        assert!(text.contains(r#"cutrickle_worker_stage_seconds_count{stage="total"} 1"#), "{text}");
    }

    #[test]
    fn streams_of_one_name_are_one_series() {
        let registry = MetricsRegistry::new().unwrap();
        let of = |frames_in| ("camera".to_owned(), Metrics { frames_in, ..Metrics::default() });
        let figures = Figures { running: vec![of(1)], ended: vec![of(2), of(4)], ..Figures::default() };
        let text = registry.text(&figures).unwrap();
        let lines: Vec<_> =
            text.lines().filter(|line| line.starts_with("cutrickle_frames_in_total{")).collect();
        assert_eq!(lines, [r#"cutrickle_frames_in_total{stream="camera"} 7"#]);
    }
}
