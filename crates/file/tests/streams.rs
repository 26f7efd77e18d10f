//! Whole streams from a file to a file. ffmpeg makes the clips, and ffprobe judges what comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cutrickle_file::{FileSink, FileSource, Progress, Written};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{
    EndReason, Ends, FrameProcessor, MetricsRegistry, Params, Queueing, Result, Session, Stage,
    StreamContext, StreamOptions,
};
use serde_json::Value;

/// H.264 of 720p at 30 frames a second, 160 of them, and AAC, 250 packets.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/assets/clip/big-buck-bunny.ts");

/// However slow the machine: what has not happened by then will not.
const DEADLINE: Duration = Duration::from_secs(120);

/// Frames go out as they came.
#[derive(Clone)]
struct Untouched;

impl FrameProcessor for Untouched {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

/// Lets nothing through.
#[derive(Clone)]
struct Withheld;

impl FrameProcessor for Withheld {
    async fn process_video(&mut self, _: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(None)
    }
}

/// Lets the stream be stopped in the middle: every frame after the tenth waits for ever.
#[derive(Clone)]
struct Stuck(u32);

impl FrameProcessor for Stuck {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.0 += 1;
        if self.0 > 10 {
            std::future::pending::<()>().await;
        }
        Ok(Some(frame))
    }
}

/// From the sixteenth frame on, every frame is a quarter of it.
#[derive(Clone)]
struct Shrinking(u32);

impl FrameProcessor for Shrinking {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        self.0 += 1;
        if self.0 <= 15 {
            return Ok(Some(frame));
        }
        let (width, height) = (frame.width() as usize / 2, frame.height() as usize / 2);
        let corner = frame.tensor()?.narrow(0, 0, height)?.narrow(1, 0, width)?;
        Ok(Some(frame.replace_tensor(corner.contiguous()?)?))
    }
}

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cutrickle-file-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file that ffmpeg makes by these arguments.
    fn made(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let file = self.path(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y"]).args(arguments).arg(&file);
        let output = command.output().expect("ffmpeg (package ffmpeg)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        file
    }

    /// The names of what is in it.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A second of small frames, with a tone.
fn pattern() -> [&'static str; 8] {
    let video = "testsrc2=size=320x180:rate=30:duration=1";
    let audio = "sine=frequency=440:sample_rate=48000:duration=1";
    ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", audio]
}

fn options() -> StreamOptions {
    let mut options = StreamOptions::default();
    options.queueing = Queueing::Lossless;
    options.input_timeout = None;
    options
}

/// A stream from one file to the other that was started.
async fn start(
    stage: &impl Stage,
    from: &Path,
    to: &Path,
    options: StreamOptions,
) -> (Session, Progress, Written) {
    let (source, progress) = FileSource::open(from).await.unwrap();
    let sink = FileSink::create(to).await.unwrap();
    let written = sink.written();
    let ends = Ends::new().with_source(source).with_sink(sink);
    let metrics = MetricsRegistry::new().unwrap();
    let session = Session::start(stage, "test", Params::new(), ends, options, &metrics).unwrap();
    (session, progress, written)
}

async fn ended(session: &Session) {
    tokio::time::timeout(DEADLINE, session.ended()).await.expect("the stream ends");
}

/// What ffprobe tells of a stream of a file.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    codec: String,
    /// Frames that were decoded.
    frames: u64,
    start: f64,
    duration: f64,
}

/// Every stream of a file, decoded; complaints are failures.
fn judged(path: &Path) -> Vec<Told> {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-count_frames", "-show_streams", "-of", "json"])
        .arg(path)
        .output()
        .expect("ffprobe (package ffmpeg)");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let streams = told["streams"].as_array().unwrap().iter();
    let told = streams.map(|stream| Told {
        codec: stream["codec_name"].as_str().unwrap().to_owned(),
        frames: stream["nb_read_frames"].as_str().unwrap().parse().unwrap(),
        start: number(&stream["start_time"]),
        duration: number(&stream["duration"]),
    });
    told.collect()
}

/// A passthrough from a file to a file of this name keeps every frame, its codecs, and its times.
async fn keeps_everything(folder: &Folder, from: &Path, to: &str) {
    let to = folder.path(to);
    let (session, progress, written) = start(&Untouched, from, &to, options()).await;
    ended(&session).await;
    let status = session.status();
    assert_eq!(status.end_reason, Some(EndReason::InputEnded), "{:?}", status.last_error);
    assert_eq!(status.metrics.error_count, 0, "{:?}", status.last_error);
    assert_eq!((progress.done(), progress.fraction()), (progress.total(), 1.0));
    let (before, after) = (judged(from), judged(&to));
    assert_eq!(before.len(), after.len(), "{before:?} {after:?}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.codec, before.frames), (&after.codec, after.frames));
        // Containers round differently, and the duration of a transport stream leaves out the last frame.
        assert!((before.duration - after.duration).abs() < 0.05, "{before:?} {after:?}");
    }
    let apart = |told: &[Told]| told[1].start - told[0].start;
    assert!((apart(&before) - apart(&after)).abs() < 0.03, "{before:?} {after:?}");
    assert_eq!(written.frames(), after[0].frames);
    assert_eq!(written.bytes(), std::fs::metadata(&to).unwrap().len());
    assert!((written.duration().seconds() - after[0].duration).abs() < 0.1, "{}", written.duration());
    assert!(!folder.names().iter().any(|name| name.ends_with(".part")), "{:?}", folder.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_stream_keeps_every_frame_in_a_transport_stream() {
    keeps_everything(&Folder::new("ts-ts"), Path::new(CLIP), "out.ts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_stream_keeps_every_frame_in_an_mp4_file() {
    keeps_everything(&Folder::new("ts-mp4"), Path::new(CLIP), "out.mp4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mp4_file_keeps_every_frame_in_a_transport_stream() {
    let folder = Folder::new("mp4-ts");
    let clip = folder.made("clip.mp4", &["-i", CLIP, "-c", "copy"]);
    keeps_everything(&folder, &clip, "out.ts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_frames_and_opus_of_an_mp4_file_are_all_kept() {
    let folder = Folder::new("mp4-mp4");
    let coded =
        ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2", "-c:a", "libopus"];
    let clip = folder.made("clip.mp4", &[&pattern()[..], &coded].concat());
    let to = folder.path("out.mp4");
    let (session, _, _) = start(&Untouched, &clip, &to, options()).await;
    ended(&session).await;
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status().last_error);
    let (before, after) = (judged(&clip), judged(&to));
    let kept =
        |told: &[Told]| -> Vec<_> { told.iter().map(|told| (told.codec.clone(), told.frames)).collect() };
    assert_eq!(kept(&before), kept(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_change_their_size_stay_in_one_track() {
    let folder = Folder::new("sizes");
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    let clip = folder.made("clip.mp4", &[&pattern()[..], &coded].concat());
    let (first, second) = (folder.path("first.mp4"), folder.path("second.ts"));
    let (session, _, written) = start(&Shrinking(0), &clip, &first, options()).await;
    ended(&session).await;
    assert_eq!(
        (written.frames(), session.metrics().error_count),
        (30, 0),
        "{:?}",
        session.status().last_error
    );
    assert_eq!(judged(&first)[0].frames, 30);
    // And it can be read here.
    let (session, _, written) = start(&Untouched, &first, &second, options()).await;
    ended(&session).await;
    assert_eq!(
        (written.frames(), session.metrics().error_count),
        (30, 0),
        "{:?}",
        session.status().last_error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_stopped_leaves_a_file_that_plays() {
    for name in ["out.mp4", "out.ts"] {
        let folder = Folder::new("stopped");
        let to = folder.path(name);
        let mut options = options();
        options.stop_deadline = Duration::from_millis(100);
        let (session, progress, written) = start(&Stuck(0), Path::new(CLIP), &to, options).await;
        // The processor is stuck, and so all that will come has come.
        while written.frames() < 10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(progress.fraction() < 1.0);
        session.stop();
        ended(&session).await;
        // The stream was abandoned; its file is completed all the same.
        while !to.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(judged(&to)[0].frames, 10, "{name}");
        assert_eq!(folder.names(), [name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_puts_out_nothing_leaves_nothing() {
    let folder = Folder::new("nothing");
    let clip = folder
        .made("clip.ts", &[&pattern()[..], &["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p"]].concat());
    for name in ["out.mp4", "out.ts"] {
        let (session, _, written) = start(&Withheld, &clip, &folder.path(name), options()).await;
        ended(&session).await;
        assert_eq!(session.status().end_reason, Some(EndReason::InputEnded));
        assert_eq!(written.units(), 0);
        assert_eq!(folder.names(), ["clip.ts"]);
    }
    drop(FileSink::create(folder.path("never.mp4")).await.unwrap());
    assert_eq!(folder.names(), ["clip.ts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_ends_the_stream_with_its_name_and_keeps_what_came_before() {
    let folder = Folder::new("damaged");
    let clip = folder.made("clip.mp4", &["-i", CLIP, "-c", "copy", "-movflags", "+faststart"]);
    let whole = std::fs::read(&clip).unwrap();
    std::fs::write(&clip, &whole[..whole.len() / 2]).unwrap();
    let to = folder.path("out.mp4");
    let (session, _, _) = start(&Untouched, &clip, &to, options()).await;
    ended(&session).await;
    let status = session.status();
    assert_eq!(status.end_reason, Some(EndReason::InputFailed));
    let error = status.last_error.unwrap();
    assert!(error.starts_with("input: ") && error.contains("clip.mp4: "), "{error}");
    let frames = judged(&to)[0].frames;
    assert!((1..160).contains(&frames), "{frames}");
}

#[tokio::test]
async fn files_of_another_kind_are_refused_by_name() {
    let folder = Folder::new("others");
    let text = folder.path("notes.ts");
    std::fs::write(&text, "no packets in here ".repeat(100)).unwrap();
    let error = FileSource::open(&text).await.unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("notes.ts"), "{error:?}");
    let error = FileSource::open(folder.path("nowhere.ts")).await.unwrap_err();
    assert!(!error.is_unsupported() && error.to_string().contains("nowhere.ts"), "{error:?}");
    assert!(FileSource::open(&folder.0).await.is_err(), "a folder");
    for name in ["out.mkv", "out", ".ts"] {
        let error = FileSink::create(folder.path(name)).await.unwrap_err();
        assert!(error.is_unsupported(), "{name}: {error:?}");
    }
    assert!(FileSink::create(folder.path("no/such/folder.ts")).await.is_err());
    assert_eq!(folder.names(), ["notes.ts"]);
}

#[tokio::test]
async fn a_file_is_replaced_only_when_there_is_a_new_one_and_only_if_it_may_be() {
    let folder = Folder::new("existing");
    let there = folder.path("there.TS");
    std::fs::write(&there, "old").unwrap();
    let error = FileSink::create_new(&there).await.unwrap_err();
    assert!(error.is_existing() && error.to_string().contains("there.TS"), "{error:?}");
    let sink = FileSink::create(&there).await.unwrap();
    assert_eq!(std::fs::read(&there).unwrap(), b"old");
    drop(sink);
    assert_eq!(folder.names(), ["there.TS"]);
    std::fs::create_dir(folder.path("folder.ts")).unwrap();
    assert!(!FileSink::create(folder.path("folder.ts")).await.unwrap_err().is_existing());
}
