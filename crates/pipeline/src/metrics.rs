//! What a stream counts, as reported in its status. `exposition` exports it to Prometheus.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Histogram;
use serde::Serialize;
use utoipa::ToSchema;

use crate::exposition::{MetricsRegistry, StageTime};
use crate::gpu;

/// Declares all counters, one per line: the name in the status and in [`Counts`], the Prometheus name without
/// prefix and suffix, and the description.
macro_rules! counters {
    ($($name:ident, $metric:literal, $counts:literal;)+) => {
        /// The figures of one stream, under the names that PyTrickle's users know, and where every frame went:
        /// `frames_in` = `frames_out` + `frames_dropped` + `frames_paced` + `frames_withheld` + `frames_failed` + those in
        /// flight.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
        pub struct Metrics {
            /// Output frames per second, over the last two seconds.
            pub fps: f64,
            /// Mean time from a frame's arrival to its encoded access unit, over the last two seconds, in ms.
            pub latency_ms: f64,
            /// GPU memory in use, in MiB; 0 where there is none.
            pub gpu_memory_mb: f64,
            $(#[doc = $counts] pub $name: u64,)+
        }

        /// The counters that a stream's threads and tasks add to.
        #[derive(Debug, Default)]
        pub(crate) struct Counts {
            $(pub(crate) $name: Counter,)+
        }

        impl Counts {
            fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.get(),)+ ..Metrics::default() }
            }
        }

        /// All counters.
        pub(crate) const COUNTED: &[CountedFigure] = &[$(($metric, $counts, |m| &mut m.$name),)+];
    };
}

counters! {
    frames_processed, "frames_processed", "Frames that the processor was given";
    frames_dropped, "frames_dropped", "Frames dropped because something was slower than the input";
    error_count, "errors", "Errors of any kind: decoding, the processor, encoding";
    frames_in, "frames_in", "Access units of video that arrived";
    input_bytes, "input_bytes", "Bytes of input, whatever they were";
    frames_out, "frames_out", "Frames that were encoded";
    frames_paced, "frames_paced", "Frames left out to keep to the frame rate that was asked for";
    frames_withheld, "frames_withheld", "Frames that the processor withheld";
    frames_failed, "frames_failed", "Frames lost to errors";
    frames_late, "frames_late", "Frames that a time-out let pass unprocessed, or withheld; they are in another figure as well";
    output_bytes_dropped, "output_bytes_dropped", "Output bytes dropped because the other side did not take them";
    data_lines, "data_lines", "Lines of data that the processor emitted";
    data_lines_dropped, "data_lines_dropped", "Lines of data dropped because the data channel did not take them";
    events_dropped, "events_dropped", "Events dropped because the events channel did not take them";
}

/// A counter: its Prometheus name without prefix and suffix, its description, and its field.
pub(crate) type CountedFigure = (&'static str, &'static str, fn(&mut Metrics) -> &mut u64);

impl Metrics {
    /// Combines these metrics with those of another stream: counts and rates are added up, and for the others
    /// the larger value is kept.
    pub fn take_in(&mut self, mut other: Self) {
        for (_, _, figure) in COUNTED {
            let sum = figure(self);
            *sum = sum.saturating_add(*figure(&mut other));
        }
        self.fps = round(self.fps + other.fps);
        self.latency_ms = self.latency_ms.max(other.latency_ms);
        self.gpu_memory_mb = self.gpu_memory_mb.max(other.gpu_memory_mb);
    }

    /// Without the values that describe only a moment: what remains of a stream that has ended.
    #[must_use]
    pub fn at_rest(self) -> Self {
        Self { fps: 0.0, latency_ms: 0.0, gpu_memory_mb: 0.0, ..self }
    }
}

/// A counter that many threads add to. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The metrics that a stream's threads and tasks write to.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) counts: Counts,
    pub(crate) decode: StageTime,
    /// The age of a frame when the processor receives it.
    pub(crate) wait: StageTime,
    pub(crate) process: StageTime,
    pub(crate) encode: StageTime,
    registry: MetricsRegistry,
    total: StageTime,
    recent: Mutex<Recent>,
    arrivals: Mutex<Recent>,
}

impl Recorder {
    pub(crate) fn new(registry: &MetricsRegistry, stream: &str) -> Self {
        Self {
            counts: Counts::default(),
            decode: registry.stage(stream, "decode"),
            wait: registry.stage(stream, "wait"),
            process: registry.stage(stream, "process"),
            encode: registry.stage(stream, "encode"),
            registry: registry.clone(),
            total: registry.stage(stream, "total"),
            recent: Mutex::default(),
            arrivals: Mutex::default(),
        }
    }

    /// The histogram in which a batched model counts the sizes of its calls.
    pub(crate) fn batch_sizes(&self) -> Histogram {
        self.registry.batch_sizes()
    }

    /// Records that an access unit of video arrived at `now`.
    pub(crate) fn frame_in(&self, now: Instant) {
        self.counts.frames_in.add(1);
        // Locked once per frame, as in `frame_out`.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(now, Duration::ZERO);
    }

    /// Access units of video per second, over the last two seconds.
    pub(crate) fn input_fps(&self) -> f64 {
        round(self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).rate_and_latency(Instant::now()).0)
    }

    /// Records that a frame that arrived at `arrived` left the encoder at `now`.
    pub(crate) fn frame_out(&self, arrived: Instant, now: Instant) {
        let latency = now.saturating_duration_since(arrived);
        self.counts.frames_out.add(1);
        self.total.observe(latency.as_secs_f64());
        // Locked once per frame by the encoding thread and once per status request; never contended.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(now, latency);
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Metrics {
        let (fps, latency) = self.recent.lock().unwrap_or_else(PoisonError::into_inner).rate_and_latency(now);
        Metrics {
            fps: round(fps),
            latency_ms: round(latency.as_secs_f64() * 1e3),
            gpu_memory_mb: round(gpu::memory_mb()),
            ..self.counts.read()
        }
    }
}

/// Rounds to two decimals for readability.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The frames of the last two seconds.
#[derive(Debug, Default)]
struct Recent(VecDeque<(Instant, Duration)>);

const WINDOW: Duration = Duration::from_secs(2);
/// More frames than fit into two seconds at any allowed rate.
const MAX_RECENT: usize = 512;

impl Recent {
    fn push(&mut self, now: Instant, latency: Duration) {
        if self.0.len() == MAX_RECENT {
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
            recorder.frame_out(out.checked_sub(Duration::from_millis(20)).unwrap_or(out), out);
        }
        let now = start + Duration::from_millis(40) * 149;
        let metrics = recorder.snapshot(now);
        assert!((metrics.fps - 25.0).abs() < 0.1, "{metrics:?}");
        assert!((metrics.latency_ms - 20.0).abs() < 0.5, "{metrics:?}");
        let silent = recorder.snapshot(now + Duration::from_secs(3));
        assert_eq!((silent.fps, silent.frames_out), (0.0, 150));
    }

    #[test]
    fn figures_of_several_streams_are_sums_and_those_of_the_moment_are_not_kept() {
        let one =
            Metrics { fps: 10.0, latency_ms: 5.0, frames_in: 3, events_dropped: 1, ..Metrics::default() };
        let mut both = Metrics { fps: 20.5, latency_ms: 7.0, frames_in: 4, ..Metrics::default() };
        both.take_in(one);
        assert_eq!((both.fps, both.latency_ms, both.frames_in, both.events_dropped), (30.5, 7.0, 7, 1));
        let kept = both.at_rest();
        assert_eq!((kept.fps, kept.latency_ms, kept.frames_in), (0.0, 0.0, 7));
    }

    #[test]
    fn every_figure_that_only_grows_is_counted() {
        let mut all = Metrics::default();
        for (n, (_, _, figure)) in (1..).zip(COUNTED) {
            *figure(&mut all) = n;
        }
        let mut seen: Vec<_> =
            serde_json::to_value(all).unwrap().as_object().unwrap().values().cloned().collect();
        seen.retain(|value| value.is_u64());
        seen.sort_by_key(serde_json::Value::as_u64);
        assert_eq!(seen, (1..=COUNTED.len()).map(serde_json::Value::from).collect::<Vec<_>>());
    }
}
