//! What ffprobe and ffmpeg make of a recording.

use std::process::Command;

use super::clip::TempDir;

/// What ffprobe makes of a recording.
#[derive(Debug)]
pub struct Verdict {
    /// Codec name by stream.
    pub codecs: Vec<String>,
    /// Width and height of the video, if any.
    pub size: Option<(u64, u64)>,
    /// Timestamps (pts, seconds) of video packets and of audio packets.
    pub video: Vec<f64>,
    pub audio: Vec<f64>,
    /// What decoding all of it complained of.
    pub complaints: String,
}

/// Lets ffprobe read and ffmpeg decode `ts`. Checks that timestamps rise within each stream.
pub fn judge(ts: &[u8]) -> Verdict {
    let dir = TempDir::new();
    let file = dir.0.join("out.ts");
    std::fs::write(&file, ts).unwrap();
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-show_packets", "-of", "json"])
        .arg(&file)
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&probe.stdout).unwrap();
    let mut verdict = Verdict {
        codecs: Vec::new(),
        size: None,
        video: Vec::new(),
        audio: Vec::new(),
        complaints: String::from_utf8_lossy(&probe.stderr).into_owned(),
    };
    for stream in json["streams"].as_array().unwrap() {
        verdict.codecs.push(stream["codec_name"].as_str().unwrap_or("?").to_owned());
        if let (Some(w), Some(h)) = (stream["width"].as_u64(), stream["height"].as_u64()) {
            verdict.size = Some((w, h));
        }
    }
    for packet in json["packets"].as_array().unwrap() {
        let pts: f64 = packet["pts_time"].as_str().expect("every packet has a time").parse().unwrap();
        let track = if packet["codec_type"] == "video" { &mut verdict.video } else { &mut verdict.audio };
        assert!(track.last().is_none_or(|last| pts > *last), "time goes back to {pts}: {packet}");
        track.push(pts);
    }
    let decode = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    verdict.complaints += &String::from_utf8_lossy(&decode.stderr);
    verdict
}

/// What one of ffmpeg's filters measures, with the time of each measurement in seconds: of the frames
/// (`signalstats.YAVG`, and `YDIF` against the frame before) or of each millisecond of audio at 48 kHz
/// (`astats.Overall.Peak_level`, dB).
pub fn measured(ts: &[u8], what: &str) -> Vec<(f64, f64)> {
    let dir = TempDir::new();
    let file = dir.0.join("out.ts");
    std::fs::write(&file, ts).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-copyts", "-i"]).arg(&file);
    if what.starts_with("astats") {
        let print =
            format!("asetnsamples=n=48,astats=metadata=1:reset=1,ametadata=print:key=lavfi.{what}:file=-");
        ffmpeg.args(["-vn", "-af", &print]);
    } else {
        ffmpeg.args(["-an", "-vf", &format!("signalstats,metadata=print:key=lavfi.{what}:file=-")]);
    }
    let printed = ffmpeg.args(["-f", "null", "/dev/null"]).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let (mut time, mut values) = (f64::NAN, Vec::new());
    for line in String::from_utf8(printed.stdout).unwrap().lines() {
        if let Some((_, at)) = line.split_once("pts_time:") {
            time = at.trim().parse().unwrap();
        } else if let Some((_, value)) = line.split_once('=') {
            values.push((time, value.parse().unwrap()));
        }
    }
    values
}

/// When measurements rise above `limit`, having been below it for more than `apart` seconds.
pub fn rises(measurements: &[(f64, f64)], limit: f64, apart: f64) -> Vec<f64> {
    let (mut rises, mut last) = (Vec::new(), f64::NEG_INFINITY);
    for (time, _) in measurements.iter().filter(|(_, value)| *value > limit) {
        if time - last > apart {
            rises.push(*time);
        }
        last = *time;
    }
    rises
}
