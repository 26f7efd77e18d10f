//! What tests are played: segments that the ffmpeg command makes while they run.

use std::path::PathBuf;
use std::process::Command;

/// A stream for tests: `seconds` segments of one second, 30 frames each.
pub struct Clip {
    pub size: &'static str,
    pub seconds: usize,
    pub video: bool,
    pub audio: Option<&'static str>,
    /// Further arguments of ffmpeg's encoder.
    pub more: &'static [&'static str],
}

impl Default for Clip {
    fn default() -> Self {
        Self { size: "320x240", seconds: 3, video: true, audio: Some("aac"), more: &[] }
    }
}

impl Clip {
    /// The segments, cut by ffmpeg. `None`, said aloud, where ffmpeg is missing outside of CI.
    pub fn segments(&self) -> Option<Vec<Vec<u8>>> {
        let dir = TempDir::new();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y"]);
        let video = format!("testsrc2=size={}:rate=30", self.size);
        if self.video {
            ffmpeg.args(["-f", "lavfi", "-i", &video]);
        }
        if self.audio.is_some() {
            ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        }
        ffmpeg.args(["-t", &self.seconds.to_string()]);
        if self.video {
            ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt"]);
            ffmpeg.args(["yuv420p", "-g", "30", "-keyint_min", "30", "-sc_threshold", "0"]);
        }
        match self.audio {
            Some("opus") => ffmpeg.args(["-c:a", "libopus", "-b:a", "64k"]),
            Some(codec) => ffmpeg.args(["-c:a", codec, "-b:a", "64k"]),
            None => &mut ffmpeg,
        };
        ffmpeg.args(self.more);
        ffmpeg.args(["-f", "segment", "-segment_time", "1", "-segment_format", "mpegts"]);
        ffmpeg.arg(dir.0.join("%03d.ts"));
        if !ran(&mut ffmpeg)? {
            panic!("ffmpeg failed");
        }
        let mut files: Vec<_> = std::fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= self.seconds);
        Some(files.iter().map(|file| std::fs::read(file).unwrap()).collect())
    }
}

/// Whether a command of ffmpeg's succeeded; `None` where there is none and that is allowed.
fn ran(command: &mut Command) -> Option<bool> {
    match command.status() {
        Ok(status) => Some(status.success()),
        Err(e) if std::env::var_os("CI").is_some() => panic!("ffmpeg is needed here: {e}"),
        Err(_) => {
            eprintln!("skipped: this test needs ffmpeg and ffprobe");
            None
        }
    }
}

/// A folder that goes when this does.
pub(super) struct TempDir(pub(super) PathBuf);

impl TempDir {
    pub(super) fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("cutrickle-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
