//! Tests everything on a device, using only the commands: a clip is published, a worker with `--device
//! cuda:0` processes it, and the output is recorded. ffprobe judges the recording, and ffmpeg compares it to
//! the clip (PSNR). This needs a device and fails without one: real hardware, or the stand-in driver
//! (ci/stand-in.sh).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/clip/big-buck-bunny.ts");

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cutrickle(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

fn trickle_server() -> (Running, String) {
    let mut command = cutrickle(&["trickle-server", "--listen", "127.0.0.1:0"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("the command runs"));
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().expect("it is piped")).read_line(&mut url).expect("a line");
    (running, url.trim().to_owned())
}

/// A worker, its address, and the rest of its log.
fn worker(arguments: &[&str]) -> (Running, String, BufReader<ChildStderr>) {
    worker_with(arguments, &[])
}

/// The same with these environment variables.
fn worker_with(arguments: &[&str], variables: &[(&str, &str)]) -> (Running, String, BufReader<ChildStderr>) {
    let mut command = cutrickle(&["serve", "--host", "127.0.0.1", "--port", "0", "--log", "info"]);
    command.args(arguments).envs(variables.iter().copied()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().expect("the command runs"));
    let mut log = BufReader::new(running.0.stderr.take().expect("it is piped"));
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("text") > 0, "the worker ended:\n{said}");
        said += &line;
        if let Some(at) = line.find("http://127.0.0.1:") {
            let address =
                line[at + 7..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            return (running, address, log);
        }
    }
}

/// Sends one request on a connection of its own. Returns the body of the answer.
fn call(address: &str, method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut socket = TcpStream::connect(address).expect("the worker listens");
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    body.to_owned()
}

struct Judged {
    status: Value,
    metrics: String,
    recording: PathBuf,
}

/// Streams the clip through a worker that was started with `arguments`.
fn through(name: &str, arguments: &[&str], params: &Value) -> Judged {
    through_of(CLIP, name, arguments, params)
}

fn through_of(clip: &str, name: &str, arguments: &[&str], params: &Value) -> Judged {
    let (_trickle, url) = trickle_server();
    // The stand-in driver is slower than the clip, and every frame is to be judged.
    let (_worker, address, log) = worker(&[arguments, &["--queue", "all"]].concat());
    // The worker would stop if nobody read its log.
    std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
    let (input, output) = (format!("{url}{name}-in"), format!("{url}{name}-out"));
    while !call(&address, "GET", "/health", &Value::Null).contains("IDLE") {
        std::thread::yield_now();
    }
    let recording =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gpu-{name}-{}.ts", std::process::id()));
    let start = json!({ "subscribe_url": input, "publish_url": output, "params": params });
    call(&address, "POST", "/api/stream/start", &start);
    let mut record = cutrickle(&["record", "--url", &output, "--output"]);
    let mut record = Running(record.arg(&recording).spawn().expect("the command runs"));
    let mut publish =
        Running(cutrickle(&["publish", clip, "--url", &input]).spawn().expect("the command runs"));
    // While it is running, it says what it runs on.
    let mut status = Value::Null;
    while publish.0.try_wait().expect("it can be asked").is_none() {
        let now: Value =
            serde_json::from_str(&call(&address, "GET", "/api/stream/status", &Value::Null)).unwrap();
        if now["backends"]["video_encode"].is_string() {
            status = now;
        }
        std::thread::yield_now();
    }
    let metrics = call(&address, "GET", "/metrics", &Value::Null);
    assert!(record.0.wait().expect("it ends").success());
    Judged { status, metrics, recording }
}

/// How many bytes of pixels were copied in `direction` for a stage, or for all, according to the metrics of
/// the worker.
fn copied_for(metrics: &str, direction: &str, stage: &str) -> f64 {
    let label = format!(
        r#"cutrickle_gpu_copied_bytes_total{{device="cuda:0",direction="{direction}",stage="{stage}"#
    );
    let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(&label)).collect();
    assert!(!lines.is_empty(), "no {label}:\n{metrics}");
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    lines.into_iter().map(|line| value(line).expect("a number")).sum()
}

fn copied(metrics: &str, direction: &str) -> f64 {
    copied_for(metrics, direction, "")
}

fn run(program: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is wanted (package ffmpeg): {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The number of frames in a recording with which ffprobe finds nothing wrong.
fn frames(recording: &Path) -> usize {
    let file = recording.to_str().expect("a path");
    let wanted = "-v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0";
    let arguments: Vec<&str> = wanted.split(' ').chain([file]).collect();
    let (count, complaints) = run("ffprobe", &arguments);
    assert!(complaints.is_empty(), "{complaints}");
    // The tracks of a transport stream are listed once by program, and then once more.
    count.lines().next().and_then(|line| line.trim_end_matches(',').parse().ok()).expect("a number")
}

/// The mean PSNR of luma compared to a clip, in dB. Frames are matched by their timestamps, which a worker
/// keeps.
fn psnr(recording: &Path, clip: &str) -> f64 {
    let filter = "[0:v]settb=1/90000[a];[1:v]settb=1/90000,format=yuv420p[b];[a][b]psnr=shortest=1";
    let file = recording.to_str().expect("a path");
    let arguments = ["-hide_banner", "-copyts", "-i", file, "-i", clip, "-lavfi", filter, "-f", "null", "-"];
    let (_, said) = run("ffmpeg", &arguments);
    let at = said.rfind("PSNR y:").unwrap_or_else(|| panic!("no PSNR: {said}"));
    said[at + 7..].split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

fn judge(judged: &Judged) {
    let Judged { status, recording, .. } = judged;
    assert_eq!(status["backends"]["device"], "cuda:0", "{status}");
    assert_eq!(status["backends"]["video_decode"], "nvdec", "{status}");
    assert_eq!(status["error_count"], 0, "{status}");
    assert!(frames(recording) >= 90, "{} frames", frames(recording));
}

/// Checks which stages were timed and which ones the host took over, according to the metrics of the worker.
fn judge_metrics(judged: &Judged) {
    let value = |series: &str| {
        let line = judged.metrics.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line[series.len()..].trim().parse::<f64>().ok())
    };
    let on_gpu = judged.status["backends"]["video_encode"] == "nvenc";
    for stage in ["decode", "process", if on_gpu { "encode" } else { "download" }] {
        let of = |figure| {
            let series = format!(r#"cutrickle_gpu_stage_{figure}_total{{device="cuda:0",stage="{stage}"}}"#);
            value(&series).unwrap_or_else(|| panic!("no {series}:\n{}", judged.metrics))
        };
        assert!(of("samples") >= 5.0 && of("seconds") > 0.0, "{stage}: {} samples", of("samples"));
    }
    assert!(value(r#"cutrickle_gpu_surface_waits_total{device="cuda:0"}"#).is_some());
    let fallbacks = value(r#"cutrickle_gpu_fallbacks_total{stage="video_encode"}"#);
    assert_eq!(fallbacks, (!on_gpu).then_some(1.0));
}

#[test]
fn an_untouched_stream_keeps_its_pixels_on_the_device_up_to_the_encoder() {
    let judged = through("passthrough", &["--device", "cuda:0", "--processor", "passthrough"], &json!({}));
    judge(&judged);
    let (down, up) = (copied(&judged.metrics, "to_host"), copied(&judged.metrics, "to_device"));
    assert!(up < 1.0, "{up} bytes went up");
    if judged.status["backends"]["video_encode"] == "nvenc" {
        assert!(down < 1.0, "{down} bytes came down");
    } else {
        let for_encoder = copied_for(&judged.metrics, "to_host", "encode");
        assert!(
            down > 0.0 && for_encoder == down,
            "{for_encoder} of {down} bytes went to the host's encoder"
        );
    }
    judge_metrics(&judged);
    let host = through("host", &["--device", "cpu", "--processor", "passthrough"], &json!({}));
    assert_eq!(host.status["backends"]["device"], "cpu", "{}", host.status);
    let (on_gpu, on_host) = (psnr(&judged.recording, CLIP), psnr(&host.recording, CLIP));
    // The result of rate control differs if a slow machine drops frames. A wrong pixel format or order costs
    // 10 dB.
    assert!(on_gpu > 36.0 && on_gpu > on_host - 1.5, "{on_gpu:.1} dB, and {on_host:.1} dB on the host");
    let _ = (std::fs::remove_file(&judged.recording), std::fs::remove_file(&host.recording));
}

/// Four seconds of the clip in 640x360, coded according to `options`, for tests in which the full size would
/// be too much for a small machine.
fn smaller_clip(name: &str, options: &str) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.ts", std::process::id()));
    let file = file.to_str().expect("a path").to_owned();
    let before = ["-v", "error", "-y", "-t", "4", "-i", CLIP, "-vf", "scale=640:360", "-c:a", "copy"];
    run("ffmpeg", &before.into_iter().chain(options.split(' ')).chain([&*file]).collect::<Vec<_>>());
    file
}

#[test]
fn h265_of_ten_bits_goes_the_same_way() {
    let options =
        "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=3";
    let clip = &smaller_clip("h265", options);
    let judged = through_of(clip, "h265", &["--device", "cuda:0", "--processor", "passthrough"], &json!({}));
    judge(&judged);
    let (down, up) = (copied(&judged.metrics, "to_host"), copied(&judged.metrics, "to_device"));
    assert!(up < 1.0, "{up} bytes went up");
    assert!(judged.status["backends"]["video_encode"] != "nvenc" || down < 1.0, "{down} bytes came down");
    // 10 bits become 8 by way of RGB, which costs some chroma and little luma.
    let likeness = psnr(&judged.recording, clip);
    assert!(likeness > 34.0, "{likeness:.1} dB");
    let _ = (std::fs::remove_file(&judged.recording), std::fs::remove_file(clip));
}

#[test]
fn h265_is_what_leaves_where_it_was_asked_for_and_the_device_encodes_it() {
    let arguments =
        ["--device", "cuda:0", "--video-codec", "h265", "--quality", "24", "--encoder-preset", "1"];
    let encodes = devices().first().expect("a device")["encodes"].clone();
    if !encodes.as_array().is_some_and(|codecs| codecs.iter().any(|codec| codec == "H265")) {
        let refused =
            cutrickle(&["serve", "--port", "0"]).args(arguments).output().expect("the command runs");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        return assert!(said.starts_with("error: --video-codec: "), "{said}");
    }
    let clip = &smaller_clip("h264", "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 0 -g 30");
    let arguments = [&arguments[..], &["--processor", "passthrough"]].concat();
    let judged = through_of(clip, "to-h265", &arguments, &json!({}));
    judge(&judged);
    let wanted = "-v error -select_streams v -show_entries stream=codec_name -of csv=p=0";
    let file = judged.recording.to_str().expect("a path");
    let (codec, _) = run("ffprobe", &wanted.split(' ').chain([file]).collect::<Vec<_>>());
    assert_eq!(judged.status["backends"]["video_encode"], "nvenc", "{}", judged.status);
    assert!(codec.starts_with("hevc"), "{codec}");
    let likeness = psnr(&judged.recording, clip);
    assert!(likeness > 36.0, "{likeness:.1} dB");
    let _ = (std::fs::remove_file(&judged.recording), std::fs::remove_file(clip));
}

#[test]
fn a_size_that_was_asked_for_is_made_by_the_decoder() {
    let params = json!({ "width": 320, "height": 240 });
    let judged = through("scaled", &["--device", "cuda:0", "--processor", "passthrough"], &params);
    judge(&judged);
    assert_eq!(judged.status["output_size"], json!([320, 240]), "{}", judged.status);
    assert!(copied(&judged.metrics, "to_device") < 1.0);
    let _ = std::fs::remove_file(&judged.recording);
}

/// The devices of this machine according to `cutrickle doctor`.
fn devices() -> Vec<Value> {
    let found = cutrickle(&["doctor", "--json"]).output().expect("the command runs");
    let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    found["devices"].as_array().expect("an array").clone()
}

/// The backends of two streams of one worker once both are being encoded, and the metrics of the worker at
/// that time.
fn two_streams(arguments: &[&str], variables: &[(&str, &str)]) -> ([Value; 2], String) {
    let (_trickle, url) = trickle_server();
    let (_worker, address, log) = worker_with(arguments, variables);
    std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
    while !call(&address, "GET", "/health", &Value::Null).contains("IDLE") {
        std::thread::yield_now();
    }
    let mut sources = Vec::new();
    for name in ["a", "b"] {
        let (input, output) = (format!("{url}{name}-in"), format!("{url}{name}-out"));
        let start = json!({ "subscribe_url": input, "publish_url": output, "gateway_request_id": name });
        call(&address, "POST", "/api/stream/start", &start);
        let mut publish = cutrickle(&["publish", CLIP, "--loop", "--url", &input]);
        sources.push(Running(publish.spawn().expect("the command runs")));
    }
    loop {
        let backends = ["a", "b"].map(|name| {
            let path = format!("/api/stream/status?stream={name}");
            let status: Value = serde_json::from_str(&call(&address, "GET", &path, &Value::Null)).unwrap();
            status["backends"].clone()
        });
        if backends.iter().all(|backends| backends["video_encode"].is_string()) {
            return (backends, call(&address, "GET", "/metrics", &Value::Null));
        }
        std::thread::yield_now();
    }
}

#[test]
fn streams_are_spread_over_the_devices() {
    let devices: Vec<String> =
        devices().iter().map(|found| found["device"].as_str().expect("a name").to_owned()).collect();
    let list = devices.join(",");
    let arguments = ["--device", &list, "--processor", "passthrough", "--capacity", "2"];
    let (backends, _) = two_streams(&arguments, &[]);
    let used = backends.map(|backends| backends["device"].as_str().expect("a name").to_owned());
    let wanted = [devices[0].clone(), devices[1 % devices.len()].clone()];
    assert_eq!(used, wanted);
}

#[test]
fn a_stream_beyond_the_encoders_sessions_is_encoded_on_the_host() {
    let first = devices().first().expect("a device").clone();
    let limited = first["name"].as_str().is_some_and(|name| name.starts_with("Stand-in"));
    if !limited || first["video_encode"] != "nvenc" {
        println!("the number of sessions can be limited on the stand-in driver with an encoder alone");
        return;
    }
    let arguments = ["--device", "cuda:0", "--processor", "passthrough", "--capacity", "2"];
    let (backends, metrics) = two_streams(&arguments, &[("STAND_IN_NVENC_SESSIONS", "1")]);
    let mut encoders = backends.map(|backends| backends["video_encode"].as_str().expect("a name").to_owned());
    encoders.sort();
    assert!(encoders[0] == "nvenc" && encoders[1].starts_with("openh264"), "{encoders:?}");
    let series = r#"cutrickle_gpu_fallbacks_total{stage="video_encode"} 1"#;
    assert!(metrics.lines().any(|line| line == series), "{metrics}");
}
