//! The independent judges: ffmpeg makes streams and ffprobe reads them. Where they are not installed a test
//! is skipped; in CI they have to be installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A packet as ffprobe reports it. Times are in ticks of 90 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    pub pts: i64,
    pub dts: i64,
    pub size: usize,
    pub keyframe: bool,
}

/// A temporary folder that is deleted when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mpegts-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns whether ffmpeg and ffprobe are installed. Panics in CI if they are not.
pub fn present() -> bool {
    let present =
        ["ffmpeg", "ffprobe"].iter().all(|tool| Command::new(tool).arg("-version").output().is_ok());
    if !present {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffmpeg and ffprobe have to be installed");
        eprintln!("skipped: ffmpeg and ffprobe are not installed");
    }
    present
}

fn run(tool: &str, arguments: &[&str], file: &Path) -> Output {
    let output =
        Command::new(tool).args(["-v", "error"]).args(arguments).arg(file).output().expect("it starts");
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs ffmpeg with these arguments, and returns the file that it made and its contents.
#[allow(dead_code, reason = "not every test makes streams")]
pub fn make(scratch: &Scratch, arguments: &str) -> (PathBuf, Vec<u8>) {
    let file = scratch.file("made.ts");
    let arguments: Vec<&str> = arguments.split_whitespace().chain(["-y"]).collect();
    run("ffmpeg", &arguments, &file);
    let bytes = std::fs::read(&file).expect("it was made");
    (file, bytes)
}

/// Cuts a file at its keyframes into segments of one second. `pattern` is their path, with a `%d` in it.
#[allow(dead_code, reason = "not every test cuts")]
pub fn cut(file: &Path, pattern: &Path) {
    let from = file.to_str().expect("a plain path");
    let how = "-map 0 -c copy -copyts -muxdelay 0 -f segment -segment_time 1 -segment_format mpegts";
    let arguments: Vec<&str> = ["-i", from].into_iter().chain(how.split_whitespace()).collect();
    run("ffmpeg", &arguments, pattern);
}

/// The packets of a track (`v:0` or `a:0`). Anything that ffprobe writes to standard error fails the test.
pub fn packets(file: &Path, track: &str) -> Vec<Probed> {
    let shown =
        ["-select_streams", track, "-show_entries", "packet=pts,dts,size,flags", "-of", "compact=p=0"];
    let output = run("ffprobe", &shown, file);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ffprobe complains");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter(|line| line.starts_with("pts="));
    lines
        .map(|line| {
            let field = |name: &str| {
                let value = line.split('|').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
                value.unwrap_or_else(|| panic!("no {name} in {line}"))
            };
            let number =
                |name: &str| field(name).parse::<i64>().unwrap_or_else(|_| panic!("{name} in {line}"));
            Probed {
                pts: number("pts"),
                dts: number("dts"),
                size: number("size") as usize,
                keyframe: field("flags").starts_with('K'),
            }
        })
        .collect()
}

/// The codec names of all tracks, and how many video frames were decoded. Anything that a decoder writes to
/// standard error fails the test.
#[allow(dead_code, reason = "not every test decodes")]
pub fn decode(file: &Path) -> (Vec<String>, usize) {
    let shown = ["-count_frames", "-show_entries", "stream=codec_name,nb_read_frames", "-of", "compact=p=0"];
    let output = run("ffprobe", &shown, file);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ffprobe complains");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut codecs = Vec::new();
    let mut frames = 0;
    for line in text.lines() {
        let field =
            |name: &str| line.split('|').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let Some(codec) = field("codec_name") else { continue };
        // ffprobe lists the streams of a program a second time.
        if codecs.iter().any(|known| known == codec) {
            continue;
        }
        codecs.push(codec.to_owned());
        if matches!(codec, "h264" | "hevc") {
            frames = field("nb_read_frames").and_then(|count| count.parse().ok()).unwrap_or(0);
        }
    }
    (codecs, frames)
}
