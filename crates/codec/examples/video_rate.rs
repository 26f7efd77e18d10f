//! Processor time per picture: `video_rate FILE.h264 WIDTH HEIGHT BITRATE`, where FILE is an Annex B stream with
//! access unit delimiters (`ffmpeg … -bsf:v h264_metadata=aud=insert`). Linux only: it reads `/proc/self/stat`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use cutrickle_codec::{Coding, EncoderConfig, VideoCodec, VideoUnit, open};
use cutrickle_frame::{Colour, VideoFrame};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, width, height, bitrate] = &arguments[..] else {
        eprintln!("usage: video_rate FILE.h264 WIDTH HEIGHT BITRATE");
        return;
    };
    let (width, height): (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());
    let bitrate = bitrate.parse().unwrap();
    let stream = std::fs::read(file).expect("the stream");
    let units = split(&stream);

    let mut meter = Meter::new();
    let backend = decode(&units, &mut meter, |_| ());
    meter.report(&format!("decode ({backend})"));

    let colour = Colour::unspecified(height);
    let coding = Coding::default();
    let config = EncoderConfig { width, height, fps: 30.0, bitrate, coding, colour };
    let mut encoder = open::host_video_encoder(config).unwrap();
    let (mut bytes, mut number) = (0, 0);
    let mut meter = Meter::new();
    decode(&units, &mut meter, |frame| {
        bytes += encoder.encode(&frame, number % 60 == 0).unwrap().data.len();
        number += 1;
    });
    meter.report(&format!("decode and encode ({})", encoder.backend()));
    println!("{} bit/s at 30 fps", bytes * 8 * 30 / number);
}

/// Decodes a stream without reordering, and lets `each` have every frame at once.
fn decode(units: &[&[u8]], meter: &mut Meter, mut each: impl FnMut(VideoFrame)) -> &'static str {
    let mut decoder = open::host_video_decoder(VideoCodec::H264).unwrap();
    for (number, data) in units.iter().enumerate() {
        let unit = VideoUnit { data, timestamp: number as i64 * 3000, keyframe: number == 0, damaged: false };
        meter.picture(|| decoder.decode(&unit, &mut each).unwrap());
    }
    decoder.backend()
}

struct Meter {
    cpu: f64,
    wall: Instant,
    pictures: u32,
    slowest: f64,
}

impl Meter {
    fn new() -> Self {
        Self { cpu: cpu_seconds(), wall: Instant::now(), pictures: 0, slowest: 0.0 }
    }

    fn picture(&mut self, work: impl FnOnce()) {
        let started = Instant::now();
        work();
        self.slowest = self.slowest.max(started.elapsed().as_secs_f64());
        self.pictures += 1;
    }

    fn report(&self, what: &str) {
        let each = |seconds: f64| 1000.0 * seconds / f64::from(self.pictures);
        println!(
            "{what}: {} pictures, {:.2} CPU-ms and {:.2} ms each, {:.1} ms at most",
            self.pictures,
            each(cpu_seconds() - self.cpu),
            each(self.wall.elapsed().as_secs_f64()),
            1000.0 * self.slowest
        );
    }
}

/// User and system time of the whole process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Cuts a byte stream before every access unit delimiter.
fn split(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> =
        stream.windows(5).enumerate().filter(|(_, w)| **w == [0, 0, 0, 1, 9]).map(|(at, _)| at).collect();
    starts.push(stream.len());
    starts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}
