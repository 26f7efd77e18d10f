//! The results of a measurement, as JSON and as a table.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use cutrickle_worker::Failure;
use serde::Serialize;

use super::audio;
use super::figures::{Offset, Order, Spread};
use super::readback::{self, Frame};
use super::run::{Noted, WARM_UP};
use super::source::{Source, Wanted};

/// What a measurement found. The names of the fields are those of the output of `--json`, so they do not
/// change.
#[derive(Debug, Serialize)]
pub struct Report {
    width: u32,
    height: u32,
    fps: u32,
    seconds: u32,
    output_width: Option<u32>,
    output_height: Option<u32>,
    output_codecs: Vec<&'static str>,
    /// The bitrate of the transport stream, including audio.
    input_mbps: f64,
    output_mbps: f64,
    sent: u32,
    #[serde(flatten)]
    order: Order,
    unreadable: u32,
    /// The latency that the worker added, after the warm-up.
    added_latency_ms: Option<Spread>,
    /// The latency without the worker, after the warm-up.
    path_latency_ms: Option<Spread>,
    /// How far audio moved relative to video. Positive where it is late.
    av_offset_ms: Option<Offset>,
    first_byte_ms: f64,
    /// How late the probe itself was. It is large if the machine had too much to do.
    sender_late_ms: Option<Spread>,
    cpu_ms_per_picture: Option<f64>,
    rss_idle_mb: Option<f64>,
    rss_peak_mb: Option<f64>,
}

impl Report {
    /// Evaluates the notes of a measurement.
    ///
    /// # Errors
    /// The worker's output cannot be decoded by this build.
    pub fn new(source: &Source, noted: &Noted) -> Result<Self, Failure> {
        let Wanted { size, fps, seconds } = source.wanted;
        let sent = source.wanted.frames();
        let arrivals = readback::arrivals(&noted.path, &source.wanted);
        let output = readback::output(&noted.output, source)?;
        let mut first_seen: HashMap<u32, Frame> = HashMap::new();
        for frame in &output.frames {
            first_seen.entry(frame.number).or_insert(*frame);
        }
        let warm_up = fps.saturating_mul(WARM_UP.as_secs() as u32);
        let counted = || warm_up..sent;
        let added = counted().filter_map(|number| {
            let (through, without) = (first_seen.get(&number)?.at, *arrivals.get(&number)?);
            // The difference may be negative: the bytes of the two channels may be read in either order.
            Some(
                milliseconds(through.saturating_duration_since(without))
                    - milliseconds(without.saturating_duration_since(through)),
            )
        });
        let path = counted().filter_map(|number| {
            let sent = *noted.sent.frames.get(number as usize)?;
            Some(milliseconds(arrivals.get(&number)?.saturating_duration_since(sent)))
        });
        let av_offset = (0..seconds).zip(&source.audio_offsets).filter_map(|(second, before)| {
            let number = second.saturating_mul(fps);
            let frame = first_seen.get(&number).filter(|_| number >= warm_up)?;
            let after = audio::offsets([frame.timestamp], &output.onsets).pop()?;
            Some((after - *before).get() as f64 / 90.0)
        });
        let usage = noted.usage;
        let bytes_sent = source.units.iter().map(|unit| unit.bytes.len()).sum();
        let bytes_received = noted.output.segments.iter().flatten().map(|chunk| chunk.bytes.len()).sum();
        let mbps = |bytes: usize| bytes as f64 * 8e-6 / f64::from(seconds);
        Ok(Self {
            width: size.width,
            height: size.height,
            fps,
            seconds,
            output_width: output.size.map(|size| size.width),
            output_height: output.size.map(|size| size.height),
            output_codecs: output.codecs.iter().map(|codec| codec.name()).collect(),
            input_mbps: mbps(bytes_sent),
            output_mbps: mbps(bytes_received),
            sent,
            order: Order::of(output.frames.iter().map(|frame| frame.number), sent),
            unreadable: output.unreadable,
            added_latency_ms: Spread::of(added.collect()),
            path_latency_ms: Spread::of(path.collect()),
            av_offset_ms: Offset::of(av_offset.collect()),
            first_byte_ms: milliseconds(noted.first_byte),
            sender_late_ms: Spread::of(noted.sent.late.iter().copied().map(milliseconds).collect()),
            cpu_ms_per_picture: usage
                .map(|usage| milliseconds(usage.cpu) / f64::from(counted().len() as u32)),
            rss_idle_mb: usage.map(|usage| usage.resident_idle as f64 / 1e6),
            rss_peak_mb: usage.map(|usage| usage.resident_peak as f64 / 1e6),
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, fps, seconds, .. } = self;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<28}{value}");
        row("input", format!("{width}x{height}, {fps} fps, {seconds} s, {:.1} Mbit/s", self.input_mbps))?;
        let size = match (self.output_width, self.output_height) {
            (Some(width), Some(height)) => format!("{width}x{height}, "),
            _ => String::new(),
        };
        let codecs = self.output_codecs.join(" + ");
        row("output", format!("{size}{codecs}, {:.1} Mbit/s", self.output_mbps))?;
        row("frames sent", format!("{}", self.sent))?;
        let Order { received, lost, repeated, reordered } = self.order;
        row(
            "frames received",
            format!("{received}, lost {lost}, repeated {repeated}, reordered {reordered}"),
        )?;
        row("frames unreadable", format!("{}", self.unreadable))?;
        row("added latency, ms", spread(self.added_latency_ms))?;
        row("latency without it, ms", spread(self.path_latency_ms))?;
        let offset =
            self.av_offset_ms.map(|Offset { median, worst }| format!("median {median:.1}, worst {worst:.1}"));
        row("A/V offset, ms", offset.unwrap_or_else(|| "no audio to compare".into()))?;
        row("start to first byte, ms", format!("{:.1}", self.first_byte_ms))?;
        row("delay of the probe, ms", spread(self.sender_late_ms))?;
        if let (Some(cpu), Some(idle), Some(peak)) =
            (self.cpu_ms_per_picture, self.rss_idle_mb, self.rss_peak_mb)
        {
            row("CPU per frame, ms", format!("{cpu:.2}"))?;
            row("resident, MB", format!("idle {idle:.0}, peak {peak:.0}"))?;
        }
        Ok(())
    }
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { p50, p99, max }) => format!("p50 {p50:.1}, p99 {p99:.1}, max {max:.1}"),
        None => "nothing to compare".into(),
    }
}
