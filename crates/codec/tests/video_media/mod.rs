//! Streams made by the ffmpeg command while the tests run, and its own decoder's word on them.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use cutrickle_codec::{VideoDecoder, VideoUnit};
use cutrickle_frame::VideoFrame;

/// An access unit as a demuxer hands it on.
#[derive(Debug, Clone)]
pub struct Unit {
    pub data: Vec<u8>,
    pub timestamp: i64,
    pub keyframe: bool,
    pub damaged: bool,
}

impl Unit {
    pub fn borrow(&self) -> VideoUnit<'_> {
        VideoUnit {
            data: &self.data,
            timestamp: self.timestamp,
            keyframe: self.keyframe,
            damaged: self.damaged,
        }
    }
}

/// A stream, and its pictures as packed I420 in display order as ffmpeg decodes them to 8 bits 4:2:0.
pub struct Media {
    pub units: Vec<Unit>,
    pub pictures: Vec<Vec<u8>>,
    pub width: u32,
    pub height: u32,
}

/// Whether ffmpeg is there; it has to be where CI says that everything is checked.
pub fn has_ffmpeg() -> bool {
    let found =
        Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffmpeg is missing");
        eprintln!("skipped: ffmpeg is missing");
    }
    found
}

/// A folder of this process's own that goes when it is dropped.
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

/// Runs a command, and gives what it printed; its complaints fail the test.
pub fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {complaints}");
    output.stdout
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Pictures that move and have grain.
pub fn source(width: u32, height: u32, frames: u32) -> String {
    format!("testsrc2=size={width}x{height}:rate=30,noise=alls=8:allf=t,trim=end_frame={frames}")
}

/// Encodes a source of ffmpeg's with libx264 and `options`.
pub fn h264(source: &str, options: &[&str]) -> Media {
    encode("libx264", "h264_mp4toannexb,h264_metadata=aud=insert", "h264", source, options)
}

/// Encodes a source of ffmpeg's with libx265 and `options`.
pub fn h265(source: &str, options: &[&str]) -> Media {
    encode("libx265", "hevc_mp4toannexb,hevc_metadata=aud=insert", "hevc", source, options)
}

fn encode(encoder: &str, filters: &str, format: &str, source: &str, options: &[&str]) -> Media {
    let folder = Folder::new();
    let (file, raw) = (folder.path("a.mp4"), folder.path("a.raw"));
    let quiet = ["-v", "error", "-y"];
    let input = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", encoder, "-threads", "2"];
    let clock = ["-video_track_timescale", "90000", text(&file)];
    run("ffmpeg", &[&quiet[..], &input, options, &clock].concat());
    let copy = ["-i", text(&file), "-c", "copy", "-bsf:v", filters, "-f", format, text(&raw)];
    run("ffmpeg", &[&quiet[..], &copy].concat());
    let packets =
        run("ffprobe", &["-v", "error", "-show_entries", "packet=pts,flags", "-of", "csv=p=0", text(&file)]);
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
    let data = split(&std::fs::read(&raw).unwrap(), if format == "hevc" { 35 << 1 } else { 9 });
    let packets: Vec<(i64, bool)> = String::from_utf8(packets)
        .unwrap()
        .lines()
        .map(|line| {
            let mut fields = line.split(',');
            (fields.next().unwrap().parse().unwrap(), fields.next().unwrap().contains('K'))
        })
        .collect();
    assert_eq!(data.len(), packets.len());
    let units = data.into_iter().zip(packets);
    let units = units
        .map(|(data, (timestamp, keyframe))| Unit { data, timestamp, keyframe, damaged: false })
        .collect();
    let decoded = run(
        "ffmpeg",
        &["-v", "error", "-i", text(&file), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-vsync", "0", "-"],
    );
    let (width, height) = (size[0], size[1]);
    let picture = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let pictures = decoded.chunks(picture as usize).map(<[u8]>::to_vec).collect();
    Media { units, pictures, width, height }
}

/// Cuts a byte stream before every access unit delimiter, whose header is `delimiter`.
pub fn split(stream: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = (0..stream.len().saturating_sub(4))
        .filter(|at| stream[*at..].starts_with(&[0, 0, 0, 1]) && stream[at + 4] == delimiter)
        .collect();
    assert_eq!(starts.first(), Some(&0));
    starts.push(stream.len());
    starts.windows(2).map(|pair| stream[pair[0]..pair[1]].to_vec()).collect()
}

/// A frame's samples, packed.
pub fn samples(frame: &VideoFrame) -> Vec<u8> {
    frame.i420().unwrap().planes().iter().flat_map(|plane| plane.data).copied().collect()
}

/// Decodes all units, and counts the frames that each one brought; the last count is the flush's.
pub fn decode_all(decoder: &mut dyn VideoDecoder, units: &[Unit]) -> (Vec<VideoFrame>, Vec<usize>) {
    let (mut frames, mut counts) = (Vec::new(), Vec::new());
    for unit in units {
        let before = frames.len();
        decoder.decode(&unit.borrow(), &mut |frame| frames.push(frame)).unwrap();
        counts.push(frames.len() - before);
    }
    let before = frames.len();
    decoder.flush(&mut |frame| frames.push(frame)).unwrap();
    counts.push(frames.len() - before);
    (frames, counts)
}

/// Peak signal to noise ratio of luma, in dB.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    if sum == 0.0 { 100.0 } else { 10.0 * (255.0f64.powi(2) / (sum / a.len() as f64)).log10() }
}
