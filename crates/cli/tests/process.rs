//! `cutrickle process`, judged by ffprobe: every frame of the input comes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// 160 frames of H.264, and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/clip/big-buck-bunny.ts");

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cutrickle-process-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    /// What ffmpeg makes of the clip by these arguments.
    fn made(&self, name: &str, input: &[&str], output: &[&str]) -> String {
        let path = self.path(name);
        let mut command = Command::new("ffmpeg");
        let command = command.args(["-v", "error"]).args(input).args(["-i", CLIP]).args(output).arg(&path);
        let made = command.output().expect("ffmpeg (package ffmpeg)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(input: &str, output: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    command.args(["process", input, "--output", output, "--device", "cpu"]).stdin(Stdio::null());
    command
}

fn process(input: &str, output: &str, arguments: &[&str]) -> Output {
    command(input, output).args(arguments).output().expect("the command runs")
}

/// Codec and decoded frames of each stream of a file, by ffprobe. What it complains of is a failure.
fn frames(path: &str) -> Vec<(String, u64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=codec_name,nb_read_frames", path])
        .output()
        .expect("ffprobe (package ffmpeg)");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{path}");
    let told = String::from_utf8(output.stdout).unwrap();
    // A transport stream's streams are told once more, as those of its program.
    let mut frames = Vec::new();
    for line in told.lines().filter(|line| !line.is_empty()) {
        let (codec, count) = line.split_once(',').unwrap();
        let stream = (codec.to_owned(), count.trim_end_matches(',').parse().unwrap());
        if !frames.contains(&stream) {
            frames.push(stream);
        }
    }
    frames
}

#[test]
fn every_frame_of_the_input_is_in_the_output() {
    let folder = Folder::new("frames");
    let mp4 = folder.made("clip.mp4", &[], &["-c", "copy"]);
    let wanted = frames(CLIP);
    assert_eq!(wanted[0], ("h264".to_owned(), 160));
    for (input, name) in [(CLIP, "out.mp4"), (CLIP, "out.ts"), (&mp4, "other.ts")] {
        let output = folder.path(name);
        let done = process(input, &output, &["--processor", "grayscale,mirror"]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{name}: {said}");
        assert_eq!(frames(&output), wanted, "{name}");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(told.starts_with("160 frames, 5.3 s of video, in ") && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn flags_about_coding_and_parameters_reach_the_stream() {
    let folder = Folder::new("flags");
    let input = folder.made("clip.ts", &[], &["-frames:v", "20", "-frames:a", "30", "-c", "copy"]);
    let output = folder.path("out.mp4");
    let flags =
        ["--processor", "gain", "--params", "{\"gain\": -6}", "--audio", "opus", "--bitrate", "300000"];
    let done = process(&input, &output, &flags);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = frames(&output);
    assert_eq!((&out[0], out[1].0.as_str()), (&("h264".to_owned(), 20), "opus"));
    let refused =
        process(&input, &folder.path("no.mp4"), &["--processor", "gain", "--params", "{\"gain\": \"loud\"}"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    // The stream was started, and the processor's parameters refused it.
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let last = said.lines().last();
    let wanted = "error: on_stream_start: `gain` is \"loud\": a number from -60 to 24 is wanted";
    assert_eq!(last, Some(wanted), "{said}");
    assert!(!Path::new(&folder.path("no.mp4")).exists());
}

#[test]
fn an_output_that_exists_is_replaced_only_when_asked_for() {
    let folder = Folder::new("overwrite");
    let input = folder.made("clip.ts", &[], &["-frames:v", "10", "-an", "-c", "copy"]);
    let output = folder.path("out.mp4");
    std::fs::write(&output, "mine").unwrap();
    let refused = process(&input, &output, &["--processor", "passthrough"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("out.mp4") && said.contains("--overwrite"), "{said}");
    assert_eq!(std::fs::read(&output).unwrap(), b"mine");
    let done = process(&input, &output, &["--processor", "passthrough", "--overwrite"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(frames(&output), [("h264".to_owned(), 10)]);
}

#[test]
fn what_cannot_be_processed_is_exit_code_1_and_one_line() {
    let folder = Folder::new("failures");
    let whole = folder.made("whole.mp4", &[], &["-c", "copy", "-movflags", "+faststart"]);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    let text = folder.path("notes.ts");
    std::fs::write(&text, "no packets in here ".repeat(100)).unwrap();
    let nowhere = folder.path("nowhere.ts");
    for (input, output, word) in [
        (nowhere.as_str(), "a.ts", "nowhere.ts"),
        (&text, "b.ts", "neither an MPEG transport stream nor an MP4 file"),
        (CLIP, "c.mkv", "c.mkv"),
        (&cut, "d.mp4", "cut.mp4: h264 sample"),
    ] {
        let failed = process(input, &folder.path(output), &["--processor", "passthrough", "--log", "error"]);
        let said = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{input}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1 && said.contains(word), "{said}");
        assert!(failed.stdout.is_empty());
    }
    // What came before the damage is kept.
    assert!((1..160).contains(&frames(&folder.path("d.mp4"))[0].1));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_and_what_was_written_plays() {
    let folder = Folder::new("signal");
    let input = folder.made("long.ts", &["-stream_loop", "50"], &["-c", "copy"]);
    let output = folder.path("out.mp4");
    let mut command = command(&input, &output);
    let child = command.args(["--processor", "passthrough"]).stdout(Stdio::piped()).spawn().unwrap();
    let part = format!("{output}.part");
    // The first second is in the file.
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 10_000 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{:?}", ended.status);
    let count = frames(&output)[0].1;
    assert!((30..51 * 160).contains(&count), "{count}");
    assert!(String::from_utf8_lossy(&ended.stdout).starts_with(&format!("{count} frames, ")));
    assert!(!Path::new(&part).exists());
}
