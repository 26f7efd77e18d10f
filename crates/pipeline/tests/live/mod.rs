//! A stage for whole streams: a trickle server, a source of segments that ffmpeg made, a session, a viewer who
//! demuxes what comes out, and ffprobe as the judge of it.

#![allow(dead_code, reason = "each test file uses its own part of the stage")]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cutrickle_frame::VideoFrame;
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event, Program};
use cutrickle_pipeline::{
    FrameProcessor, Metrics, MetricsRegistry, Params, Queueing, Result, Session, StreamOptions, StreamRequest,
};
use cutrickle_trickle::{ClientConfig, Publisher, Server, ServerConfig, Start, Subscriber};
use tokio::sync::watch;

/// However slow the machine: what has not happened by then will not.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A trickle server on a port of its own.
pub struct Stage {
    base: String,
    _stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Stage {
    pub async fn new() -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default()).await.unwrap();
        let base = server.url();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { base, _stop: Some(stop) }
    }

    /// On a server that somebody else looks after.
    pub fn at(base: String) -> Self {
        Self { base, _stop: None }
    }

    pub fn url(&self, channel: &str) -> String {
        format!("{}/{channel}", self.base.trim_end_matches('/'))
    }

    /// Starts a session from channel `in` to channel `out`, and a viewer of `out`. The output's channel is there
    /// before, as a gateway makes it, so that the viewer misses nothing of it.
    pub async fn start<P: FrameProcessor>(
        &self,
        processor: &P,
        params: serde_json::Value,
        options: StreamOptions,
    ) -> (Session, Viewer) {
        let params: Params = params.as_object().cloned().unwrap_or_default();
        let request = StreamRequest { params, ..self.request(&["in", "out"]) };
        self.open("out").await;
        (self.run(processor, request, options), Viewer::new(&self.url("out")))
    }

    /// A request for a stream that has just these of the channels `in`, `out`, `control`, `events` and `data`.
    pub fn request(&self, channels: &[&str]) -> StreamRequest {
        let url = |name| channels.contains(&name).then(|| self.url(name));
        StreamRequest {
            id: "test".into(),
            subscribe_url: url("in"),
            publish_url: url("out"),
            control_url: url("control"),
            events_url: url("events"),
            data_url: url("data"),
            params: Params::new(),
        }
    }

    pub fn run<P: FrameProcessor>(
        &self,
        processor: &P,
        request: StreamRequest,
        options: StreamOptions,
    ) -> Session {
        Session::start(processor, request, options, &MetricsRegistry::new().unwrap()).unwrap()
    }

    /// Publishes documents into a channel, as a gateway does.
    pub fn publisher(&self, channel: &str) -> Publisher {
        Publisher::new(&self.url(channel), "application/json", ClientConfig::default()).unwrap()
    }

    /// Makes a channel.
    pub async fn open(&self, channel: &str) {
        let mut publisher =
            Publisher::new(&self.url(channel), "video/MP2T", ClientConfig::default()).unwrap();
        publisher.create().await.unwrap();
    }

    pub fn source(&self) -> Source {
        let publisher = Publisher::new(&self.url("in"), "video/MP2T", ClientConfig::default()).unwrap();
        Source { publisher, sent: 0 }
    }
}

/// Publishes segments.
pub struct Source {
    publisher: Publisher,
    sent: u64,
}

impl Source {
    pub async fn send(&mut self, segment: &[u8]) {
        let mut writer = self.publisher.segment().await.unwrap();
        for part in segment.chunks(1316) {
            writer.write(Bytes::copy_from_slice(part)).await.unwrap();
        }
        writer.finish();
        self.sent += segment.len() as u64;
    }

    /// Waits until `session` has read all that was sent, and every picture of it has met its fate but for those that a
    /// decoder without a usable keyframe may swallow.
    pub async fn settled(&self, session: &Session) {
        let settled = |m: Metrics| {
            let in_flight = m.frames_in - fates(&m);
            m.input_bytes >= self.sent && (in_flight == 0 || (m.error_count > 0 && in_flight <= 32))
        };
        until(session, settled).await;
    }

    /// Sends each segment, and the next when the viewer has seen `pictures` of it, as a source in real time would
    /// to a worker that keeps up.
    pub async fn send_all(&mut self, segments: &[Vec<u8>], viewer: &Viewer, pictures: usize) {
        for (n, segment) in segments.iter().enumerate() {
            self.send(segment).await;
            viewer.pictures((n + 1) * pictures).await;
        }
    }

    /// Closes the channel, which discards what nobody has read yet: wait for that first.
    pub async fn end(self) {
        self.publisher.close().await.unwrap();
    }
}

/// What has come out so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub bytes: Vec<u8>,
    pub units: Vec<(Codec, i64, bool)>,
    pub programs: Vec<Program>,
    pub pictures: usize,
    pub sounds: usize,
    pub segments: usize,
}

/// How far a viewer has come.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    pictures: usize,
    sounds: usize,
    last: [i64; 2],
}

/// Reads a channel to its end.
pub struct Viewer {
    seen: watch::Receiver<Counts>,
    all: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Viewer {
    pub fn new(url: &str) -> Self {
        // Viewers outlast every outage.
        let retry_window = Duration::from_secs(600);
        let config = ClientConfig { missing_grace: DEADLINE, retry_window, ..ClientConfig::default() };
        let mut subscriber = Subscriber::new(url, Start::Seq(0), config).unwrap();
        let (counts, seen) = watch::channel(Counts::default());
        let all = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&all);
        let task = tokio::spawn(async move {
            let mut demuxer = Demuxer::new();
            let count = |event: Event| {
                let mut all = shared.lock().unwrap();
                match event {
                    Event::Program(program) => all.programs.push(program),
                    Event::Unit(AccessUnit { codec, pts, keyframe, .. }) => {
                        all.units.push((codec, pts, keyframe));
                        if codec.is_video() {
                            all.pictures += 1
                        } else {
                            all.sounds += 1
                        }
                        let (pictures, sounds) = (all.pictures, all.sounds);
                        counts.send_modify(|counts| {
                            *counts = Counts { pictures, sounds, ..*counts };
                            let last = &mut counts.last[usize::from(codec.is_audio())];
                            *last = pts.max(*last);
                        });
                    }
                }
            };
            while let Some(mut segment) = subscriber.next().await.unwrap() {
                shared.lock().unwrap().segments += 1;
                while let Some(bytes) = segment.chunk().await {
                    shared.lock().unwrap().bytes.extend_from_slice(&bytes);
                    demuxer.push(&bytes, &mut |event| count(event));
                }
                demuxer.end_segment(&mut |event| count(event));
            }
        });
        Self { seen, all, task }
    }

    async fn until(&self, what: &str, enough: impl FnMut(&Counts) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(enough)).await;
        match waited {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panic!("the output ended before {what}"),
            Err(_) => panic!("no {what} within {DEADLINE:?}"),
        }
    }

    /// Waits until `n` pictures have come out in all.
    pub async fn pictures(&self, n: usize) {
        self.until(&format!("picture {n}"), |counts| counts.pictures >= n).await;
    }

    /// Waits until `n` packets of sound have come out in all.
    pub async fn sounds(&self, n: usize) {
        self.until(&format!("sound {n}"), |counts| counts.sounds >= n).await;
    }

    /// Waits until the last unit of `segment` has come out: its picture or, where it has none, its sound.
    pub async fn reaches(&self, segment: &[u8]) {
        let mut last = [None; 2];
        let mut demuxer = Demuxer::new();
        let mut note = |event: Event| {
            if let Event::Unit(unit) = event {
                let last = &mut last[usize::from(unit.codec.is_audio())];
                *last = Some(last.map_or(unit.pts, |pts: i64| pts.max(unit.pts)));
            }
        };
        demuxer.push(segment, &mut note);
        demuxer.end_segment(&mut note);
        let [picture, sound] = last;
        self.until("the last unit", |counts| match (picture, sound) {
            (Some(pts), _) => counts.last[0] >= pts,
            (None, Some(pts)) => counts.last[1] >= pts,
            (None, None) => panic!("a segment without units"),
        })
        .await;
    }

    pub fn seen(&self) -> Seen {
        self.all.lock().unwrap().clone()
    }

    /// Waits for the end of the channel.
    pub async fn end(self) -> Seen {
        tokio::time::timeout(DEADLINE, self.task).await.expect("the output ends").unwrap();
        self.all.lock().unwrap().clone()
    }
}

/// Reads a channel whose segments are documents: events, data.
pub struct Documents(tokio::sync::mpsc::UnboundedReceiver<Bytes>);

impl Documents {
    pub fn new(url: &str) -> Self {
        let config = ClientConfig { missing_grace: DEADLINE, ..ClientConfig::default() };
        let mut subscriber = Subscriber::new(url, Start::Seq(0), config).unwrap();
        let (documents, received) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(mut segment) = subscriber.next().await.unwrap() {
                let document = segment.collect(1 << 24).await.unwrap();
                if documents.send(document).is_err() {
                    return;
                }
            }
        });
        Self(received)
    }

    /// The next document; `None` at the end of the channel.
    pub async fn next(&mut self) -> Option<Bytes> {
        tokio::time::timeout(DEADLINE, self.0.recv()).await.expect("a document, or the channel's end")
    }

    /// The next document as JSON.
    pub async fn json(&mut self) -> serde_json::Value {
        serde_json::from_slice(&self.next().await.expect("a document")).expect("JSON")
    }
}

pub async fn ended(session: &Session) {
    tokio::time::timeout(DEADLINE, session.ended()).await.expect("the session ends");
}

/// Waits until a session's figures are so.
pub async fn until(session: &Session, so: impl Fn(Metrics) -> bool) {
    until_so(|| session.metrics(), so).await;
}

/// Waits until `figures` are so.
pub async fn until_so(figures: impl Fn() -> Metrics, so: impl Fn(Metrics) -> bool) {
    let wait = async {
        while !so(figures()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{:?}", figures()));
}

/// Waits until the session has taken `n` pictures from its input.
pub async fn taken(session: &Session, n: u64) {
    until(session, |m| m.frames_in >= n).await;
}

/// The options of a stream whose pictures are all to come out, however slow the machine is.
pub fn every_picture() -> StreamOptions {
    StreamOptions { queueing: Queueing::All, max_queue_size: 100, ..StreamOptions::default() }
}

/// Where pictures went.
fn fates(m: &Metrics) -> u64 {
    m.frames_out + m.frames_dropped + m.frames_paced + m.frames_withheld + m.frames_failed
}

/// The pictures of in = out + dropped + … add up once a stream has ended.
#[track_caller]
pub fn assert_accounted(session: &Session) {
    let m = session.metrics();
    assert_eq!(m.frames_in, fates(&m), "{m:?}");
}

/// Pictures go out as they came.
#[derive(Clone)]
pub struct Untouched;

impl FrameProcessor for Untouched {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

/// Every pixel replaced.
#[derive(Clone)]
pub struct Replaced;

impl FrameProcessor for Replaced {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let pixels = frame.tensor()?;
        Ok(Some(frame.replace_tensor(pixels)?))
    }
}

/// A stream for tests: `seconds` segments of one second, 30 pictures each.
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

/// What one of ffmpeg's filters measures, with the time of each measurement in seconds: of the pictures
/// (`signalstats.YAVG`, and `YDIF` against the picture before) or of each millisecond of sound at 48 kHz
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

struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("cutrickle-{}-{n}", std::process::id()));
        std::fs::create_dir_all(Path::new(&dir)).unwrap();
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
