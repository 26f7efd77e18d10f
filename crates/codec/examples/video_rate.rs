//! Processor time per picture: `video_rate FILE.h264 WIDTH HEIGHT BITRATE`, where FILE is an Annex B stream with
//! access unit delimiters (`ffmpeg … -bsf:v h264_metadata=aud=insert`). Linux only: it reads `/proc/self/stat`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use cutrickle_codec::{EncoderConfig, VideoCodec, VideoUnit, open};
use cutrickle_frame::Colour;

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

    let mut decoder = open::video_decoder(VideoCodec::H264).unwrap();
    let mut frames = Vec::new();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let mut slowest = 0.0f64;
    for (number, data) in units.iter().enumerate() {
        let started = Instant::now();
        let unit = VideoUnit { data, timestamp: number as i64 * 3000, keyframe: false, damaged: false };
        decoder.decode(&unit, &mut |frame| frames.push(frame)).unwrap();
        slowest = slowest.max(started.elapsed().as_secs_f64());
    }
    report("decode", decoder.backend(), frames.len(), cpu, wall, slowest);

    let colour = Colour::unspecified(height);
    let mut encoder =
        open::video_encoder(EncoderConfig { width, height, fps: 30.0, bitrate, colour }).unwrap();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let (mut slowest, mut bytes) = (0.0f64, 0);
    for (number, frame) in frames.iter().enumerate() {
        let started = Instant::now();
        bytes += encoder.encode(frame, number % 60 == 0).unwrap().data.len();
        slowest = slowest.max(started.elapsed().as_secs_f64());
    }
    report("encode", encoder.backend(), frames.len(), cpu, wall, slowest);
    println!("       {} bit/s at 30 fps", bytes * 8 * 30 / frames.len());
}

fn report(stage: &str, backend: &str, frames: usize, cpu: f64, wall: Instant, slowest: f64) {
    let per_picture = |seconds: f64| 1000.0 * seconds / frames as f64;
    println!(
        "{stage} {backend}: {frames} pictures, {:.2} CPU-ms and {:.2} ms each, {:.1} ms at most",
        per_picture(cpu_seconds() - cpu),
        per_picture(wall.elapsed().as_secs_f64()),
        1000.0 * slowest
    );
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
