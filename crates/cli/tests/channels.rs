//! Sends a file through a channel and back into a file, using only the commands. ffprobe judges the
//! recording.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/clip/big-buck-bunny.ts");

fn cutrickle(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A trickle server, and the URL that it prints.
fn server() -> (Running, String) {
    let mut command = cutrickle(&["trickle-server", "--listen", "127.0.0.1:0", "--base", "/ai/trickle/"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("the command runs"));
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().expect("it is piped")).read_line(&mut url).expect("a line");
    (running, url.trim().to_owned())
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.ts", std::process::id()))
}

/// What ffprobe says, or `None` if it is not installed and does not have to be.
fn ffprobe(file: &Path, wanted: &[&str]) -> Option<Value> {
    let mut command = Command::new("ffprobe");
    let run = command.args(["-v", "error", "-of", "json"]).args(wanted).arg(file).output();
    let output = match run {
        Ok(output) => output,
        Err(e) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("skipped: ffprobe: {e}");
            return None;
        }
        Err(e) => panic!("ffprobe is wanted (package ffmpeg): {e}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffprobe of {}: {said}", file.display());
    Some(serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON"))
}

/// Checks for H.264 and AAC, rising decoding times, and no errors. Returns the number of frames.
#[track_caller]
fn judge(file: &Path) -> Option<usize> {
    let streams = ffprobe(file, &["-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"])?;
    let streams = streams["streams"].as_array().expect("streams").clone();
    let mut count = 0;
    for (stream, codec) in streams.iter().zip(["h264", "aac"]) {
        assert_eq!(stream["codec_name"], codec, "{streams:?}");
        let frames: usize = stream["nb_read_frames"].as_str().and_then(|n| n.parse().ok()).expect("a number");
        if codec == "h264" {
            count = frames;
        }
    }
    assert_eq!(streams.len(), 2, "{streams:?}");
    for track in ["v", "a"] {
        let packets = ffprobe(file, &["-select_streams", track, "-show_entries", "packet=dts"])?;
        let dts: Vec<i64> = packets["packets"]
            .as_array()
            .expect("packets")
            .iter()
            .map(|packet| packet["dts"].as_i64().expect("dts"))
            .collect();
        assert!(!dts.is_empty() && dts.windows(2).all(|pair| pair[0] < pair[1]), "{track}: {dts:?}");
    }
    Some(count)
}

/// A recording of a certain duration may end within a frame. Only the part up to the last segment is judged.
fn cut_to_whole_segments(recording: &Path) {
    let bytes = std::fs::read(recording).expect("a recording");
    let table = |packet: &[u8]| packet[0] == 0x47 && packet[1] == 0x40 && packet[2] == 0;
    let whole = bytes.chunks_exact(188).rposition(table).expect("a segment begins") * 188;
    std::fs::write(recording, &bytes[..whole]).expect("a file");
}

#[test]
fn what_is_published_in_real_time_is_recorded_whole() {
    let (_server, url) = server();
    let (channel, recording) = (format!("{url}round"), scratch("round"));
    // The recorder waits for the channel, and stops when it ends.
    let mut record = cutrickle(&["record", "--url", &channel, "--output"]);
    let mut record = Running(record.arg(&recording).spawn().expect("the command runs"));
    let published = cutrickle(&["publish", CLIP, "--url", &channel]).output().expect("the command runs");
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    assert!(record.0.wait().expect("it ends").success());
    if let Some(frames) = judge(&recording) {
        // The first frames may be sent before the recorder has found the channel.
        assert!(frames >= 90, "{frames} frames");
    }
    let _ = std::fs::remove_file(recording);
}

#[test]
fn standard_input_and_output_serve_as_well_and_a_loop_has_one_clock() {
    let (_server, url) = server();
    let channel = format!("{url}looped");
    let mut publish = cutrickle(&["publish", CLIP, "--loop", "--url", &channel]);
    let _publish = Running(publish.spawn().expect("the command runs"));
    // Longer than the clip, so that the recording contains the place where it starts over.
    let recorded = cutrickle(&["record", "--url", &channel, "--output", "-", "--duration", "7"])
        .output()
        .expect("the command runs");
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let recording = scratch("looped");
    std::fs::write(&recording, &recorded.stdout).expect("a file");
    cut_to_whole_segments(&recording);
    if let Some(frames) = judge(&recording) {
        assert!(frames >= 160, "{frames} frames");
    }

    // From standard input into another channel, as fast as possible.
    let fast = format!("{url}fast");
    let mut command = cutrickle(&["publish", "-", "--fast", "--url", &fast]);
    let input = std::fs::File::open(&recording).expect("it was written");
    let output = command.stdin(input).output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let _ = std::fs::remove_file(recording);
}

#[test]
fn an_mp4_file_is_published_as_a_transport_stream() {
    let (_server, url) = server();
    let (channel, recording) = (format!("{url}mp4"), scratch("mp4"));
    let file = recording.with_extension("mp4");
    let make = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-i",
            CLIP,
            "-c:v",
            "libx264",
            "-bf",
            "2",
            "-g",
            "30",
            "-preset",
            "ultrafast",
        ])
        .args(["-c:a", "copy"])
        .arg(&file)
        .status();
    match make {
        Ok(made) => assert!(made.success()),
        Err(e) if std::env::var("CI").as_deref() != Ok("true") => return eprintln!("skipped: ffmpeg: {e}"),
        Err(e) => panic!("ffmpeg is wanted (package ffmpeg): {e}"),
    }
    let mut publish = cutrickle(&["publish", "--loop", "--url", &channel]);
    let _publish = Running(publish.arg(&file).spawn().expect("the command runs"));
    let recorded = cutrickle(&["record", "--url", &channel, "--duration", "7", "--output"])
        .arg(&recording)
        .output()
        .expect("the command runs");
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    cut_to_whole_segments(&recording);
    if let Some(frames) = judge(&recording) {
        assert!(frames >= 160, "{frames} frames");
    }
    let _ = (std::fs::remove_file(recording), std::fs::remove_file(file));
}

#[test]
fn what_is_no_transport_stream_is_one_line() {
    let (_server, url) = server();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output =
        cutrickle(&["publish", file, "--url", &format!("{url}x")]).output().expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("no MPEG transport stream"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_a_normal_end() {
    let (_server, url) = server();
    let channel = format!("{url}short");
    let mut publish = cutrickle(&["publish", CLIP, "--loop", "--url", &channel]);
    let _publish = Running(publish.spawn().expect("the command runs"));
    let mut record = cutrickle(&["record", "--url", &channel, "--output", "-"]);
    let mut record = Running(record.stdout(Stdio::piped()).spawn().expect("the command runs"));
    let mut reader = BufReader::new(record.0.stdout.take().expect("it is piped"));
    assert!(!reader.fill_buf().expect("bytes").is_empty());
    drop(reader);
    assert!(record.0.wait().expect("it ends").success());
}

/// The first line on standard error that contains `word`, as the command wrote it.
fn line_with(running: &mut Running, word: &str) -> String {
    let stderr = running.0.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map(|line| line.expect("text"));
    lines.find(|line| line.contains(word)).unwrap_or_default()
}

#[test]
fn a_log_that_no_terminal_shows_has_no_colours() {
    let mut command = cutrickle(&["serve", "--host", "127.0.0.1", "--port", "0", "--device", "cpu"]);
    let command = command.env_remove("NO_COLOR").env_remove("RUST_LOG").stderr(Stdio::piped());
    let line = line_with(&mut Running(command.spawn().expect("the command runs")), "listening on");
    assert!(line.contains("listening on http://127.0.0.1:") && !line.contains('\u{1b}'), "{line:?}");
}

#[test]
fn a_recorder_says_that_it_waits_and_for_how_long() {
    let (_server, url) = server();
    let channel = format!("{url}absent");
    let mut command = cutrickle(&["record", "--url", &channel, "--output", "-", "--wait", "2"]);
    let mut record =
        Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command runs"));
    let mut lines = BufReader::new(record.0.stderr.take().expect("it is piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let waits = line();
    assert!(waits.contains("waiting") && waits.contains("2 s"), "{waits}");
    let ended = line();
    assert!(ended.starts_with("error: ") && ended.contains("no such channel"), "{ended}");
    assert_eq!(record.0.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_port_without_an_address_is_all_addresses() {
    let mut command = cutrickle(&["trickle-server", "--listen", ":0"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("the command runs"));
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().expect("it is piped")).read_line(&mut url).expect("a line");
    let port = url.trim().strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
    let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{url}"));
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("IPv4");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("IPv6");
    }
}
