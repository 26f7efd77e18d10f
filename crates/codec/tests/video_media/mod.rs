//! Streams made by the ffmpeg command while the tests run, together with the frames that ffmpeg decodes from
//! them.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use candle_core::Device;
use cutrickle_codec::{Backends, VideoDecoder};
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Timestamp, VideoCodec};

/// A stream.
pub struct Media {
    pub units: Vec<AccessUnit>,
    /// The frames as ffmpeg decodes them, in display order. Each of them is packed I420 with 8 bits per
    /// sample.
    pub pictures: Vec<Vec<u8>>,
    pub width: u32,
    pub height: u32,
}

/// Returns whether the ffmpeg command is installed. Panics in CI if it is not.
pub fn has_ffmpeg() -> bool {
    let found =
        Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffmpeg is missing");
        eprintln!("skipped: ffmpeg is missing");
    }
    found
}

/// A temporary folder that is deleted when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cutrickle-video-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a command and returns its standard output. Panics with its standard error if it fails.
pub fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {complaints}");
    output.stdout
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An ffmpeg filter graph that generates moving and grainy video.
pub fn source(width: u32, height: u32, frames: u32) -> String {
    format!("testsrc2=size={width}x{height}:rate=30,noise=alls=8:allf=t,trim=end_frame={frames}")
}

/// Encodes an ffmpeg filter graph with libx264 and `options`.
pub fn h264(source: &str, options: &[&str]) -> Media {
    encode(VideoCodec::H264, "libx264", "h264_mp4toannexb,h264_metadata=aud=insert", source, options)
}

/// Encodes an ffmpeg filter graph with libx265 and `options`.
pub fn h265(source: &str, options: &[&str]) -> Media {
    encode(VideoCodec::H265, "libx265", "hevc_mp4toannexb,hevc_metadata=aud=insert", source, options)
}

fn encode(codec: VideoCodec, encoder: &str, filters: &str, source: &str, options: &[&str]) -> Media {
    let folder = Folder::new();
    let (file, raw) = (folder.path("a.mp4"), folder.path("a.raw"));
    let quiet = ["-v", "error", "-y"];
    let input = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", encoder, "-threads", "2"];
    let clock = ["-video_track_timescale", "90000", text(&file)];
    run("ffmpeg", &[&quiet[..], &input, options, &clock].concat());
    let copy = ["-i", text(&file), "-c", "copy", "-bsf:v", filters, "-f", codec.name(), text(&raw)];
    run("ffmpeg", &[&quiet[..], &copy].concat());
    let fields = "packet=pts,dts,flags";
    let packets = run("ffprobe", &["-v", "error", "-show_entries", fields, "-of", "csv=p=0", text(&file)]);
    let size = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", text(&file)],
    );
    let size: Vec<u32> = String::from_utf8(size)
        .unwrap()
        .trim()
        .trim_end_matches(',')
        .split(',')
        .map(|n| n.parse().unwrap())
        .collect();
    let delimiter = match codec {
        VideoCodec::H264 => 9,
        VideoCodec::H265 => 35 << 1,
    };
    let data = split(&std::fs::read(&raw).unwrap(), delimiter);
    let packets = String::from_utf8(packets).unwrap();
    assert_eq!(data.len(), packets.lines().count());
    let unit = |(data, packet): (Vec<u8>, &str)| {
        let mut fields = packet.split(',');
        let mut time = || Timestamp::from_ticks(fields.next().unwrap().parse().unwrap());
        let (pts, dts) = (time(), time());
        let keyframe = fields.next().unwrap().contains('K');
        AccessUnit { pts, ..AccessUnit::new(codec, dts, keyframe, data.into()) }
    };
    let units = data.into_iter().zip(packets.lines()).map(unit).collect();
    let decoded = run(
        "ffmpeg",
        &["-v", "error", "-i", text(&file), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-vsync", "0", "-"],
    );
    let (width, height) = (size[0], size[1]);
    let picture = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let pictures = decoded.chunks(picture as usize).map(<[u8]>::to_vec).collect();
    Media { units, pictures, width, height }
}

/// Splits a byte stream before every access unit delimiter. `delimiter` is the first byte of that NAL unit.
pub fn split(stream: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = (0..stream.len().saturating_sub(4))
        .filter(|at| stream[*at..].starts_with(&[0, 0, 0, 1]) && stream[at + 4] == delimiter)
        .collect();
    assert_eq!(starts.first(), Some(&0));
    starts.push(stream.len());
    starts.windows(2).map(|pair| stream[pair[0]..pair[1]].to_vec()).collect()
}

/// The samples of a frame as packed I420.
pub fn samples(frame: &VideoFrame) -> Vec<u8> {
    frame.i420().unwrap().planes().iter().flat_map(|plane| plane.data).copied().collect()
}

/// Opens the decoder of openh264.
pub fn openh264() -> Box<dyn VideoDecoder> {
    Backends::builtin().open_video_decoder_named("openh264", VideoCodec::H264, &Device::Cpu).unwrap()
}

/// Changes the bytes of an access unit.
pub fn edit(unit: &mut AccessUnit, change: impl FnOnce(&mut Vec<u8>)) {
    let mut data = unit.data.to_vec();
    change(&mut data);
    unit.data = data.into();
}

/// Decodes all units. Returns the frames, and how many of them each unit produced; the last number is that of
/// the flush.
pub fn decode_all(decoder: &mut dyn VideoDecoder, units: &[AccessUnit]) -> (Vec<VideoFrame>, Vec<usize>) {
    let (mut frames, mut counts) = (Vec::new(), Vec::new());
    for unit in units {
        let before = frames.len();
        decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
        counts.push(frames.len() - before);
    }
    let before = frames.len();
    decoder.flush(&mut |frame| frames.push(frame)).unwrap();
    counts.push(frames.len() - before);
    (frames, counts)
}

/// Decodes `runs` one after the other, and checks that every frame has the timestamp, id and arrival time of
/// its own access unit. Each run begins with a keyframe, and its frames are expected in the order of their
/// timestamps.
#[track_caller]
pub fn check_origins(decoder: &mut dyn VideoDecoder, runs: &[&[AccessUnit]]) {
    let (start, mut frames, mut expected) = (Instant::now(), Vec::new(), Vec::new());
    for run in runs {
        let first = expected.len();
        for unit in *run {
            let origin = Origin::arrived_at(start + Duration::from_secs(expected.len() as u64));
            expected.push((unit.pts, origin.id(), origin.arrived()));
            decoder.decode(unit, origin, &mut |frame| frames.push(frame)).unwrap();
        }
        expected[first..].sort_by_key(|(pts, ..)| *pts);
    }
    decoder.flush(&mut |frame| frames.push(frame)).unwrap();
    let found: Vec<_> = frames.iter().map(|frame| (frame.timestamp(), frame.id(), frame.arrived())).collect();
    assert_eq!(found, expected);
}

/// The peak signal-to-noise ratio of two buffers of samples in dB, or 100 if they are equal.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    if sum == 0.0 { 100.0 } else { 10.0 * (255.0f64.powi(2) / (sum / a.len() as f64)).log10() }
}
