//! Runs each example as a newcomer would, on a real stream, and lets ffprobe judge what comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../live/tests/live/mod.rs"]
mod live;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use live::{Channels, Clip, DEADLINE, Verdict, Viewer, judge, measured, rises};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// A running example; killed when dropped.
struct Example {
    _child: Child,
    /// The lines of standard output and of standard error, as they come.
    lines: mpsc::UnboundedReceiver<String>,
}

impl Example {
    /// `cargo test` builds the examples beside the tests.
    fn run(name: &str, args: &[&str]) -> Self {
        let tests = std::env::current_exe().unwrap();
        let path: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
        let mut command = Command::new(&path);
        command.args(args).env("RUST_LOG", "info").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (out, lines) = mpsc::unbounded_channel();
        tokio::spawn(copy_lines(child.stdout.take().unwrap(), out.clone()));
        tokio::spawn(copy_lines(child.stderr.take().unwrap(), out));
        Self { _child: child, lines }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(DEADLINE, self.lines.recv()).await.expect("a line in time");
        line.expect("a line before the end")
    }
}

async fn copy_lines(from: impl tokio::io::AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Whether anybody waits for lines or not: a pipe that is full stops the example.
        let _ = to.send(line);
    }
}

/// A worker among the examples, and its address.
async fn worker(name: &str) -> (Example, String) {
    let mut example = Example::run(name, &["--host", "127.0.0.1", "--port", "0"]);
    loop {
        // It is a line of the log.
        if let Some((_, address)) = example.line().await.split_once("listening on http://") {
            let address = address.trim_end().to_owned();
            return (example, address);
        }
    }
}

/// POSTs `body` once the worker takes it: a start is refused while it loads.
async fn post(address: &str, path: &str, body: &Value) {
    loop {
        let (status, answer) = call(address, "POST", path, &body.to_string()).await;
        match status.as_str() {
            "200" => return,
            "503" => tokio::task::yield_now().await,
            _ => panic!("{path}: {answer}"),
        }
    }
}

/// The status of a worker's only stream, or of the last one.
async fn status(address: &str) -> Value {
    serde_json::from_str(&call(address, "GET", "/api/stream/status", "").await.1).unwrap()
}

/// How many frames came to this end.
fn count(status: &Value, end: &str) -> usize {
    status[end].as_u64().unwrap().try_into().unwrap()
}

/// Waits until `n` frames have been processed, or dropped because the machine is slower than a segment at
/// once.
async fn processed(address: &str, n: usize) {
    let wait = async {
        loop {
            let status = status(address).await;
            if count(&status, "frames_processed") + count(&status, "frames_dropped") >= n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {n} frames"));
}

/// The status and the body of a worker's answer.
async fn call(address: &str, method: &str, path: &str, body: &str) -> (String, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

/// Plays a clip of two seconds through an example, and judges the output.
async fn through(name: &str, params: Value) -> Option<Verdict> {
    let segments = Clip { seconds: 2, ..Clip::default() }.segments()?;
    let channels = Channels::new().await;
    let (_example, address) = worker(name).await;
    let start =
        json!({"subscribe_url": channels.url("in"), "publish_url": channels.url("out"), "params": params});
    post(&address, "/api/stream/start", &start).await;
    let viewer = Viewer::new(&channels.url("out"));
    let mut source = channels.source();
    send_all(&mut source, &segments, &viewer).await;
    source.end().await;
    let verdict = judge(&viewer.end().await.bytes);
    assert_all_came_out(&verdict, &status(&address).await);
    Some(verdict)
}

/// Sends each segment when the one before it has come out to its last frame, which is never dropped.
async fn send_all(source: &mut live::Source, segments: &[Vec<u8>], viewer: &Viewer) {
    for segment in segments {
        source.send(segment).await;
        viewer.reaches(segment).await;
    }
}

/// All of the 60 frames came out but for those that a slow machine dropped.
#[track_caller]
fn assert_all_came_out(verdict: &Verdict, status: &Value) {
    assert_eq!((verdict.video.len(), verdict.complaints.as_str()), (count(status, "frames_out"), ""));
    assert_eq!(count(status, "frames_out") + count(status, "frames_dropped"), 60, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_passthrough() {
    through("01_passthrough", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_invert() {
    through("02_invert", json!(null)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_params() {
    through("03_params", json!({"brightness": 0.5})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e04_audio() {
    let Some(verdict) = through("04_audio", json!({})).await else { return };
    let encoded = if cfg!(feature = "fdk-aac") { "aac" } else { "opus" };
    assert_eq!(verdict.codecs, ["h264", encoded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_compose() {
    through("05_compose", json!({"mode": "mirror", "fade": {"strength": 0.5}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_candle_model() {
    let Some(segments) = (Clip { seconds: 2, size: "96x64", ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let (_example, address) = worker("06_candle_model").await;
    let start = json!({
        "subscribe_url": channels.url("in"), "publish_url": channels.url("out"), "data_url": channels.url("data"),
    });
    post(&address, "/api/stream/start", &start).await;
    let viewer = Viewer::new(&channels.url("out"));
    let mut data = live::Documents::new(&channels.url("data"));
    let mut source = channels.source();
    send_all(&mut source, &segments, &viewer).await;
    source.end().await;
    let verdict = judge(&viewer.end().await.bytes);
    assert_all_came_out(&verdict, &status(&address).await);
    assert_eq!(verdict.size, Some((192, 128)));
    // A document is lines of JSON; the clip's frames are not flat.
    let lines = data.next().await.expect("data");
    let first: Value = serde_json::from_slice(lines.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert!(first["detail"].as_f64().is_some_and(|detail| detail > 0.0), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e07_client() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let mut client = Example::run("07_client", &[&channels.url("in"), &channels.url("out")]);
    let viewer = Viewer::new(&channels.url("out"));
    let mut source = channels.source();
    send_all(&mut source, &segments, &viewer).await;
    source.end().await;
    let published = judge(&viewer.end().await.bytes).video.len();
    assert_eq!(client.line().await, format!("{published} frames"));
    assert!(published >= segments.len(), "the last frame of each segment at least");
}

/// The output of four seconds is enough to see three seconds pass, each with its beep.
#[tokio::test(flavor = "multi_thread")]
async fn e08_clock() {
    // Says so, and ends here, where there is no ffmpeg to judge.
    if (Clip { seconds: 1, ..Clip::default() }).segments().is_none() {
        return;
    }
    let channels = Channels::new().await;
    let (_example, address) = worker("08_clock").await;
    channels.open("out").await;
    let viewer = Viewer::new(&channels.url("out"));
    post(&address, "/api/stream/start", &json!({"publish_url": channels.url("out")})).await;
    viewer.frames(100).await;
    post(&address, "/api/stream/stop", &json!({})).await;
    let ts = viewer.end().await.bytes;
    let verdict = judge(&ts);
    assert_eq!((verdict.size, verdict.complaints.as_str()), (Some((256, 80)), ""));
    assert_eq!(verdict.codecs.len(), 2, "{:?}", verdict.codecs);
    // On the grid of 25 a second; a busy machine may leave moments out.
    let (first, last) = (verdict.video[0], verdict.video[verdict.video.len() - 1]);
    for time in &verdict.video {
        let moments = (time - first) / 0.040;
        assert!((moments - moments.round()).abs() < 0.01, "{time} after {first}");
    }
    let seconds = rises(&measured(&ts, "signalstats.YDIF"), 0.4, 0.1);
    let beeps = rises(&measured(&ts, "astats.Overall.Peak_level"), -25.0, 0.3);
    assert!(seconds.len() >= 3, "the picture changes at {seconds:?} between {first} and {last}");
    for pair in seconds.windows(2) {
        assert!((pair[1] - pair[0] - 1.0).abs() < 0.081, "the picture changes at {seconds:?}");
    }
    for second in &seconds {
        let near = beeps.iter().map(|beep| (beep - second).abs()).fold(f64::INFINITY, f64::min);
        assert!(near < 0.081, "no beep at {second}, but at {beeps:?}");
    }
    assert!(beeps.len() <= seconds.len() + 2, "the picture changes at {seconds:?}, beeps at {beeps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_own_transport() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let folder = std::env::temp_dir().join(format!("cutrickle-own-transport-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (from, to) = (folder.join("in.ts"), folder.join("out.ts"));
    std::fs::write(&from, segments.concat()).unwrap();
    let mut example = Example::run("09_own_transport", &[from.to_str().unwrap(), to.to_str().unwrap()]);
    assert_eq!(example.line().await, "60 frames, None");
    let verdict = judge(&std::fs::read(&to).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((verdict.video.len(), verdict.complaints.as_str()), (60, ""));
    assert_eq!(verdict.codecs, ["h264", "aac"]);
}

/// The lines that the motion detector has for two seconds of a clip.
async fn motion(more: &'static [&'static str]) -> Option<Vec<Value>> {
    let segments = Clip { seconds: 2, audio: None, more, ..Clip::default() }.segments()?;
    let channels = Channels::new().await;
    channels.open("data").await;
    let mut data = live::Documents::new(&channels.url("data"));
    let (_example, address) = worker("10_motion").await;
    post(
        &address,
        "/api/stream/start",
        &json!({"subscribe_url": channels.url("in"), "data_url": channels.url("data")}),
    )
    .await;
    let mut source = channels.source();
    for (segment, frames) in segments.iter().zip([30, 60]) {
        source.send(segment).await;
        processed(&address, frames).await;
    }
    source.end().await;
    let mut lines = Vec::new();
    while let Some(batch) = data.next().await {
        let batch = batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.extend(batch.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    Some(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_motion() {
    let Some(moving) = motion(&[]).await else { return };
    assert!(moving.len() >= 5, "{moving:?}");
    assert!(
        moving.iter().all(|line| line["pts"].is_number() && line["change"].as_f64() > Some(12.0)),
        "{moving:?}"
    );
    let still = motion(&["-vf", "loop=loop=-1:size=1"]).await.unwrap();
    assert!(still.is_empty(), "{still:?}");
}
