//! What Prometheus is told of the worker itself: its streams, its version, and what it takes of its machine. What the
//! streams have counted is the `pipeline` crate's.

use cutrickle_pipeline::StreamState;
use prometheus::{
    Counter, Error, Gauge, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::process_usage::ProcessUsage;
use crate::streams::Counts;

/// The worker's series as Prometheus text.
///
/// # Errors
/// Never in practice: the names are fixed and valid, and the encoder writes to memory.
pub(crate) fn text(capacity: usize, counts: &Counts) -> Result<String, Error> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    gauge("cutrickle_capacity", "Streams that may run at a time", capacity as f64)?;
    gauge("cutrickle_streams_running", "Streams that run", counts.running.len() as f64)?;
    let started = IntCounter::new("cutrickle_streams_started_total", "Streams that were started")?;
    started.inc_by(counts.started);
    registry.register(Box::new(started))?;
    let help = "Streams that have ended, by why they did";
    let ended = IntCounterVec::new(Opts::new("cutrickle_streams_ended_total", help), &["reason"])?;
    for (reason, count) in &counts.ended_by_reason {
        ended.with_label_values(&[reason.as_str()]).inc_by(*count);
    }
    registry.register(Box::new(ended))?;
    let help = "1 for the state that a running stream is in, 0 for the others";
    let states = IntGaugeVec::new(Opts::new("cutrickle_stream_state", help), &["stream", "state"])?;
    for (stream, _, current) in &counts.running {
        for state in StreamState::ALL {
            states.with_label_values(&[stream.as_str(), state.as_str()]).set(i64::from(state == *current));
        }
    }
    registry.register(Box::new(states))?;
    let help = "1, with CuTrickle's version";
    let build = IntGaugeVec::new(Opts::new("cutrickle_build_info", help), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    if let Some(usage) = ProcessUsage::now() {
        gauge("process_resident_memory_bytes", "Memory of the process in RAM", usage.resident as f64)?;
        gauge("process_threads", "Threads of the process", usage.threads as f64)?;
        let help = "Time that processors spent on the process";
        let cpu = Counter::new("process_cpu_seconds_total", help)?;
        cpu.inc_by(usage.cpu_seconds);
        registry.register(Box::new(cpu))?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

#[cfg(test)]
mod tests {
    use cutrickle_pipeline::{EndReason, Metrics};

    use super::*;

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
        let text = text(4, &counts).unwrap();
        let version = format!("cutrickle_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        for line in [
            "cutrickle_capacity 4",
            "cutrickle_streams_running 1",
            "cutrickle_streams_started_total 3",
            r#"cutrickle_streams_ended_total{reason="stopped"} 2"#,
            r#"cutrickle_streams_ended_total{reason="output_failed"} 0"#,
            r#"cutrickle_stream_state{state="DEGRADED_INPUT",stream="camera"} 1"#,
            r#"cutrickle_stream_state{state="ONLINE",stream="camera"} 0"#,
            version.as_str(),
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
        }
        let reasons = text.lines().filter(|line| line.starts_with("cutrickle_streams_ended_total{"));
        assert_eq!(reasons.count(), EndReason::ALL.len());
    }
}
