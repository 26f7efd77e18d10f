//! What Prometheus is told of the worker itself: its streams, its version, the GPUs, and what the process
//! takes of its machine. What the streams have counted is the `pipeline` crate's.

use std::fmt::Debug;

use cutrickle_pipeline::StreamState;
use prometheus::{CounterVec, Error, GaugeVec, Opts, Registry, TextEncoder};

use crate::hardware::{Gpu, Gpus};
use crate::process_usage::ProcessUsage;
use crate::streams::Counts;

/// The worker's series as Prometheus text. What could not be read is not shown.
///
/// # Errors
/// Never in practice: the names are fixed and valid, and the encoder writes to memory.
pub(crate) fn text(
    capacity: usize,
    counts: &Counts,
    gpus: &Gpus,
    process: Option<ProcessUsage>,
) -> Result<String, Error> {
    let page = Page(Registry::new());
    page.gauge("cutrickle_capacity", "Streams that may run at a time", capacity as f64)?;
    page.gauge("cutrickle_streams_running", "Streams that run", counts.running.len() as f64)?;
    page.counter("cutrickle_streams_started_total", "Streams that were started", counts.started as f64)?;
    let help = "Streams that have ended, by why they did";
    let ended = counts.ended_by_reason.iter().map(|(reason, count)| ([reason.as_str()], *count as f64));
    page.counters("cutrickle_streams_ended_total", help, ["reason"], ended)?;
    let help = "1 for the state that a running stream is in, 0 for the others";
    let states = counts.running.iter().flat_map(|(stream, _, now)| {
        StreamState::ALL
            .map(|state| ([stream.as_str(), state.as_str()], if state == *now { 1.0 } else { 0.0 }))
    });
    page.gauges("cutrickle_stream_state", help, ["stream", "state"], states)?;
    let build = [([env!("CARGO_PKG_VERSION")], 1.0)];
    page.gauges("cutrickle_build_info", "1, with CuTrickle's version", ["version"], build)?;
    let gpus: Vec<_> = gpus.gpus.iter().map(|(number, gpu)| (number.to_string(), gpu)).collect();
    let help = "Percent of the time in which a part of a GPU worked, over its last sample period";
    let busy = gpus.iter().flat_map(|(number, gpu)| {
        let known = |(engine, percent): (_, Option<u32>)| Some(([number.as_str(), engine], percent?.into()));
        engines(gpu).into_iter().filter_map(known)
    });
    page.gauges("cutrickle_gpu_utilization_percent", help, ["gpu", "engine"], busy)?;
    let help = "Bytes of a GPU's memory in use, by whomever";
    let used = gpus.iter().filter_map(|(number, gpu)| {
        let memory = gpu.memory.as_ref().ok()?;
        Some(([number], memory.total.saturating_sub(memory.free) as f64))
    });
    page.gauges("cutrickle_gpu_memory_used_bytes", help, ["gpu"], used)?;
    if let Some(usage) = process {
        let cpu = "Time that processors spent on the process";
        page.gauge("process_resident_memory_bytes", "Memory of the process in RAM", usage.resident as f64)?;
        page.gauge("process_threads", "Threads of the process", usage.threads as f64)?;
        page.counter("process_cpu_seconds_total", cpu, usage.cpu_seconds)?;
    }
    TextEncoder::new().encode_to_string(&page.0.gather())
}

/// How busy the parts of a GPU were, in percent.
fn engines(gpu: &Gpu) -> [(&'static str, Option<u32>); 4] {
    let shared = gpu.utilization.as_ref().ok();
    [
        ("compute", shared.map(|busy| busy.compute)),
        ("memory", shared.map(|busy| busy.memory)),
        ("decoder", gpu.decoder.as_ref().ok().copied()),
        ("encoder", gpu.encoder.as_ref().ok().copied()),
    ]
}

/// The series of one answer. A name without any series is left out of it.
struct Page(Registry);

impl Page {
    fn gauge(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.gauges(name, help, [], [([""; 0], value)])
    }

    fn counter(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.counters(name, help, [], [([""; 0], value)])
    }

    fn gauges<L: AsRef<str> + Debug, const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([L; N], f64)>,
    ) -> Result<(), Error> {
        let gauges = GaugeVec::new(Opts::new(name, help), &labels)?;
        values.into_iter().for_each(|(labels, value)| gauges.with_label_values(&labels).set(value));
        self.0.register(Box::new(gauges))
    }

    fn counters<L: AsRef<str> + Debug, const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([L; N], f64)>,
    ) -> Result<(), Error> {
        let counters = CounterVec::new(Opts::new(name, help), &labels)?;
        values.into_iter().for_each(|(labels, value)| counters.with_label_values(&labels).inc_by(value));
        self.0.register(Box::new(counters))
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_pipeline::{EndReason, Metrics};

    use super::*;
    use crate::hardware::{Memory, Utilization};

    fn no_gpus() -> Gpus {
        Gpus::none("no driver".into())
    }

    #[track_caller]
    fn shows(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|shown| shown == *line), "{line} in {text}");
        }
    }

    #[test]
    fn a_worker_shows_its_streams_their_states_and_why_others_ended() {
        let counts = Counts {
            running: vec![("camera".into(), Metrics::default(), StreamState::DegradedInput)],
            started: 3,
            ended_by_reason: EndReason::ALL
                .map(|reason| (reason, u64::from(reason == EndReason::Stopped) * 2))
                .into(),
            ..Counts::default()
        };
        let text = text(4, &counts, &no_gpus(), None).unwrap();
        let version = format!("cutrickle_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        shows(
            &text,
            &[
                "# TYPE cutrickle_capacity gauge",
                "cutrickle_capacity 4",
                "cutrickle_streams_running 1",
                "# TYPE cutrickle_streams_started_total counter",
                "cutrickle_streams_started_total 3",
                r#"cutrickle_streams_ended_total{reason="stopped"} 2"#,
                r#"cutrickle_streams_ended_total{reason="output_failed"} 0"#,
                r#"cutrickle_stream_state{state="DEGRADED_INPUT",stream="camera"} 1"#,
                r#"cutrickle_stream_state{state="ONLINE",stream="camera"} 0"#,
                version.as_str(),
            ],
        );
        let reasons = text.lines().filter(|line| line.starts_with("cutrickle_streams_ended_total{"));
        assert_eq!(reasons.count(), EndReason::ALL.len());
    }

    #[test]
    fn what_a_gpu_said_is_shown_and_what_it_did_not_say_is_left_out() {
        let mut gpus = no_gpus();
        let gpu = Gpu {
            utilization: Ok(Utilization { compute: 41, memory: 7 }),
            decoder: Ok(23),
            memory: Ok(Memory { total: 100, free: 40 }),
            ..Gpu::unknown("lost")
        };
        gpus.gpus.insert(1, gpu);
        let shown = text(1, &Counts::default(), &gpus, None).unwrap();
        shows(
            &shown,
            &[
                r#"cutrickle_gpu_memory_used_bytes{gpu="1"} 60"#,
                r#"cutrickle_gpu_utilization_percent{engine="compute",gpu="1"} 41"#,
                r#"cutrickle_gpu_utilization_percent{engine="decoder",gpu="1"} 23"#,
            ],
        );
        assert!(!shown.contains("encoder"), "{shown}");
        let without = text(1, &Counts::default(), &no_gpus(), None).unwrap();
        assert!(!without.contains("_gpu_"), "{without}");
    }

    #[test]
    fn the_process_is_shown_where_the_system_tells_of_it() {
        let usage = ProcessUsage { resident: 2 << 20, cpu_seconds: 3.25, threads: 12 };
        let shown = text(1, &Counts::default(), &no_gpus(), Some(usage)).unwrap();
        shows(
            &shown,
            &[
                "process_resident_memory_bytes 2097152",
                "process_cpu_seconds_total 3.25",
                "process_threads 12",
            ],
        );
        assert!(!text(1, &Counts::default(), &no_gpus(), None).unwrap().contains("process_"));
    }
}
