//! Test signals, ways to measure them, and ffmpeg, which makes streams and checks ours.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::f64::consts::TAU;
use std::io::Write;
use std::process::{Command, Stdio};

/// A sine wave with this amplitude.
pub fn sine(frequency: f64, amplitude: f64, sample_rate: u32, length: usize) -> Vec<f32> {
    let step = TAU * frequency / f64::from(sample_rate);
    (0..length).map(|n| (amplitude * (step * n as f64).sin()) as f32).collect()
}

/// A bell-shaped pulse that is 0.2 ms wide and has its peak of 0.8 at the sample `at`.
pub fn click(at: usize, sample_rate: u32, length: usize) -> Vec<f32> {
    let width = 0.0002 * f64::from(sample_rate);
    (0..length).map(|n| (0.8 * (-((n as f64 - at as f64) / width).powi(2)).exp()) as f32).collect()
}

/// The amplitude of one frequency, computed as a single bin of a Fourier transform with a Hann window.
pub fn amplitude(samples: &[f32], frequency: f64, sample_rate: u32) -> f64 {
    let step = TAU * frequency / f64::from(sample_rate);
    let length = samples.len() as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let window = 1.0 - (TAU * n as f64 / length).cos();
        re += window * f64::from(sample) * (step * n as f64).cos();
        im += window * f64::from(sample) * (step * n as f64).sin();
    }
    2.0 * re.hypot(im) / length
}

/// The frequency of a single tone, computed from its rising zero crossings.
pub fn frequency(samples: &[f32], sample_rate: u32) -> f64 {
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(n, pair)| n as f64 + f64::from(pair[0] / (pair[0] - pair[1])))
        .collect();
    let (first, last) = (crossings[0], crossings[crossings.len() - 1]);
    (crossings.len() - 1) as f64 * f64::from(sample_rate) / (last - first)
}

/// The ratio between the power of a tone and that of everything else, in dB.
pub fn tone_to_noise(samples: &[f32], frequency: f64, sample_rate: u32) -> f64 {
    let power = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
    let tone = amplitude(samples, frequency, sample_rate).powi(2) / 2.0;
    10.0 * (tone / (power - tone).abs().max(1e-12)).log10()
}

/// The index of the sample with the largest magnitude.
pub fn peak(samples: &[f32]) -> usize {
    (0..samples.len()).max_by(|&a, &b| samples[a].abs().total_cmp(&samples[b].abs())).unwrap()
}

/// Runs ffmpeg and returns its standard output. If ffmpeg is not installed, this prints a message and returns
/// `None`; in CI it panics.
pub fn ffmpeg(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-xerror"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("ffmpeg: {e}"),
        Err(e) => {
            eprintln!("skipped: ffmpeg: {e}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Writing may fail, because ffmpeg does not read its input if it generates the source itself.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments:?}: {}", output.status);
    Some(output.stdout)
}

/// Splits a stream into ADTS frames by the lengths in their headers.
pub fn adts_frames(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while stream.len() >= 7 {
        let length =
            usize::from(stream[3] & 3) << 11 | usize::from(stream[4]) << 3 | usize::from(stream[5] >> 5);
        let (frame, rest) = stream.split_at(length);
        frames.push(frame.to_vec());
        stream = rest;
    }
    frames
}

/// A xorshift generator of random numbers, which gives the same sequence every time.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 32) as u8).collect()
    }
}
