//! Measures the CPU time that it takes to decode and encode a frame.
//!
//! Usage: `video_rate FILE.h264 WIDTH HEIGHT BITRATE`. The file is an Annex B stream with access unit
//! delimiters (`ffmpeg … -bsf:v h264_metadata=aud=insert`). This only works on Linux, because it reads
//! `/proc/self/stat`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use bytes::Bytes;
use candle_core::Device;
use cutrickle_codec::{Backends, Coding, EncoderConfig};
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Size, Timestamp, VideoCodec};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, width, height, bitrate] = &arguments[..] else {
        eprintln!("usage: video_rate FILE.h264 WIDTH HEIGHT BITRATE");
        return;
    };
    let size = Size::new(width.parse().unwrap(), height.parse().unwrap());
    let bitrate = bitrate.parse().unwrap();
    let units = split(&std::fs::read(file).expect("the stream").into());

    let mut meter = Meter::new();
    let backend = decode(&units, &mut meter, |_| ());
    meter.report(&format!("decode ({backend})"));

    let colour = Colour::unspecified(size.height);
    let coding = Coding::default();
    let config = EncoderConfig { size, fps: 30.0, bitrate, coding, colour };
    let mut encoder = Backends::builtin().open_video_encoder(config, &Device::Cpu).unwrap();
    let (mut bytes, mut number) = (0, 0);
    let mut meter = Meter::new();
    decode(&units, &mut meter, |frame| {
        bytes += encoder.encode(&frame, number % 60 == 0).unwrap().data.len();
        number += 1;
    });
    meter.report(&format!("decode and encode ({})", encoder.backend()));
    println!("{} bit/s at 30 fps", bytes * 8 * 30 / number);
}

/// Decodes the units and passes every frame to `each`.
fn decode(units: &[AccessUnit], meter: &mut Meter, mut each: impl FnMut(VideoFrame)) -> &'static str {
    let mut decoder = Backends::builtin().open_video_decoder(VideoCodec::H264, &Device::Cpu).unwrap();
    for unit in units {
        meter.unit(|| decoder.decode(unit, Origin::now(), &mut each).unwrap());
    }
    decoder.backend()
}

struct Meter {
    cpu: f64,
    wall: Instant,
    units: u32,
    slowest: f64,
}

impl Meter {
    fn new() -> Self {
        Self { cpu: cpu_seconds(), wall: Instant::now(), units: 0, slowest: 0.0 }
    }

    fn unit(&mut self, work: impl FnOnce()) {
        let started = Instant::now();
        work();
        self.slowest = self.slowest.max(started.elapsed().as_secs_f64());
        self.units += 1;
    }

    fn report(&self, what: &str) {
        let each = |seconds: f64| 1000.0 * seconds / f64::from(self.units);
        println!(
            "{what}: {} frames, {:.2} CPU-ms and {:.2} ms each, {:.1} ms at most",
            self.units,
            each(cpu_seconds() - self.cpu),
            each(self.wall.elapsed().as_secs_f64()),
            1000.0 * self.slowest
        );
    }
}

/// The user and system time of the whole process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Splits a byte stream before every access unit delimiter. It has to begin with a keyframe and has no
/// B-frames; its units get the timestamps of 30 fps.
fn split(stream: &Bytes) -> Vec<AccessUnit> {
    let mut starts: Vec<usize> =
        stream.windows(5).enumerate().filter(|(_, w)| **w == [0, 0, 0, 1, 9]).map(|(at, _)| at).collect();
    starts.push(stream.len());
    let unit = |(number, pair): (usize, &[usize])| {
        let at = Timestamp::from_ticks(number as i64 * 3000);
        AccessUnit::new(VideoCodec::H264, at, number == 0, stream.slice(pair[0]..pair[1]))
    };
    starts.windows(2).enumerate().map(unit).collect()
}
