//! Trickle servers that go away, fall silent, or no longer have what is asked for. How long an outage lasts is what
//! is tested, so these tests wait for that long; for everything else they wait on events.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutrickle_frame::VideoFrame;
use cutrickle_live::StreamRequest;
use cutrickle_media::Timestamp;
use cutrickle_pipeline::{
    EndReason, FrameProcessor, Generated, Result, Session, StreamContext, StreamOptions, StreamState,
};
use cutrickle_trickle::{ClientConfig, Publisher, Server, ServerConfig};
use live::{
    Channels, Clip, Documents, Replaced, Untouched, Viewer, assert_accounted, ended, every_frame, judge,
    reached_by, with,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A trickle server that dies as a killed process does: with it go its listener, its connections and all that it held.
struct Mortal {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Mortal {
    async fn live(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (bound, at) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let server = Server::bind(address, ServerConfig::default()).await.unwrap();
            bound.send(server.local_addr()).unwrap();
            let _ = server.run(std::future::pending()).await;
        });
        Self { address: at.await.unwrap(), runtime: Some(runtime) }
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_for_five_seconds_does_not_end_the_stream() {
    let Some(segments) = (Clip { seconds: 4, ..Clip::default() }).segments() else { return };
    let server = Mortal::live(([127, 0, 0, 1], 0).into()).await;
    let address = server.address;
    let channels = Channels::at(format!("http://{address}/"));
    let (session, viewer) = channels.start(&Replaced, json!({}), every_frame()).await;
    let mut source = channels.source();
    source.send_all(&segments[..2], &viewer, 30).await;

    drop(server);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _server = Mortal::live(address).await;

    for segment in &segments[2..] {
        source.send(segment).await;
        viewer.reaches(segment).await;
    }
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    let seen = viewer.end().await;
    assert_eq!(seen.frames, 120, "nothing was sent while the server was away: {:?}", session.metrics());
    assert_eq!(judge(&seen.bytes).complaints, "");
}

/// Emits a line at each moment.
#[derive(Clone)]
struct Counting;

impl FrameProcessor for Counting {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn generate(&mut self, timestamp: Timestamp, stream: &StreamContext) -> Result<Generated> {
        stream.emit(&timestamp.ticks())?;
        Ok(Generated::default())
    }
}

fn options(fps: u32) -> StreamOptions {
    with(StreamOptions::default(), |options| options.target_fps = Some(fps))
}

/// A source in real time: a second of input every second, until it is dropped.
fn live_source(channels: &Channels, segments: Vec<Vec<u8>>) -> tokio::task::JoinHandle<()> {
    let mut source = channels.source();
    tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for segment in segments.iter().cycle() {
            second.tick().await;
            source.send(segment).await;
        }
    })
}

async fn until_state(session: &Session, wanted: StreamState) {
    let wait = async {
        while session.status().state != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(live::DEADLINE, wait).await;
    waited.unwrap_or_else(|_| panic!("not {wanted:?}: {:?}", session.status()));
}

/// Only the output's server is away; the input goes on all the while.
async fn publishing_resumes_after(outage: Duration) {
    let Some(segments) = (Clip { seconds: 2, audio: None, ..Clip::default() }).segments() else { return };
    let server = Mortal::live(([127, 0, 0, 1], 0).into()).await;
    let address = server.address;
    let (channels, away) = (Channels::new().await, Channels::at(format!("http://{address}/")));
    away.open("out").await;
    let request = StreamRequest { publish_url: Some(away.url("out")), ..channels.request(&["in"]) };
    let session = channels.run(&Untouched, request, StreamOptions::default());
    let source = live_source(&channels, segments);
    Viewer::new(&away.url("out")).frames(10).await;
    until_state(&session, StreamState::Online).await;

    drop(server);
    until_state(&session, StreamState::DegradedOutput).await;
    tokio::time::sleep(outage).await;
    assert_eq!(session.status().state, StreamState::DegradedOutput, "nothing leaves");
    let _server = Mortal::live(address).await;
    let returned = Instant::now();

    Viewer::new(&away.url("out")).frames(1).await;
    println!("after {outage:?}, a viewer has a frame {:?} after the server's return", returned.elapsed());
    until_state(&session, StreamState::Online).await;
    println!("and the stream is online after {:?}", returned.elapsed());
    source.abort();
    session.stop();
    ended(&session).await;
    assert_accounted(&session);
    let status = session.status();
    assert_eq!((status.state, status.end_reason), (StreamState::Offline, Some(EndReason::Stopped)));
    assert!(status.metrics.output_bytes_dropped > 0, "what was lost is counted: {status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_resumes_after_five_seconds_without_the_outputs_server() {
    publishing_resumes_after(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as the outage; how long tries go on is tested without waiting in the crate of the protocol"]
async fn publishing_resumes_after_forty_five_seconds_without_the_outputs_server() {
    publishing_resumes_after(Duration::from_secs(45)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as the outage; how long tries go on is tested without waiting in the crate of the protocol"]
async fn publishing_resumes_after_five_minutes_without_the_outputs_server() {
    publishing_resumes_after(Duration::from_secs(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_data_and_parameters_go_on_after_an_outage() {
    let server = Mortal::live(([127, 0, 0, 1], 0).into()).await;
    let address = server.address;
    let channels = Channels::at(format!("http://{address}/"));
    let mut control = channels.publisher("control");
    control.create().await.unwrap();
    let session = channels.run(&Counting, channels.request(&["data", "events", "control"]), options(5));
    live::until(&session, |m| m.data_lines > 0).await;
    let parameters = async |control: &mut Publisher, text: String| {
        let mut segment = control.segment().await.unwrap();
        segment.write(text.into()).await.unwrap();
        segment.delivered().await.unwrap();
    };
    parameters(&mut control, json!({"n": 1}).to_string()).await;
    let shown = async |n: u64| {
        while session.status().params.get("n") != Some(&json!(n)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(live::DEADLINE, shown(1)).await.expect("the parameters");

    drop(server);
    until_state(&session, StreamState::DegradedOutput).await;
    let _server = Mortal::live(address).await;

    let (mut events, mut data) =
        (Documents::new(&channels.url("events")), Documents::new(&channels.url("data")));
    parameters(&mut control, json!({"n": 2}).to_string()).await;
    tokio::time::timeout(live::DEADLINE, shown(2)).await.expect("the new parameters");
    assert!(data.next().await.is_some());
    session.stop();
    ended(&session).await;
    let mut last = json!(null);
    while let Some(event) = events.next().await {
        last = serde_json::from_slice(&event).unwrap();
    }
    assert_eq!(
        (&last["event"]["type"], &last["event"]["reason"]),
        (&json!("stream_stopped"), &json!("stopped"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_seconds_of_silence_do_not_end_the_stream() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Replaced, json!({}), every_frame()).await;
    let mut source = channels.source();
    source.send(&segments[0]).await;
    viewer.reaches(&segments[0]).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    source.send(&segments[1]).await;
    viewer.reaches(&segments[1]).await;
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status().last_error);
    let seen = viewer.end().await;
    assert_eq!(seen.frames, 60);
    assert_eq!(judge(&seen.bytes).complaints, "");
}

/// A server that answers by the book: segment 3 is being written, 4 is no longer there and 9 is the next to be had,
/// after which the channel is gone. Gives its URL and what it was asked for.
async fn by_the_book(third: Vec<u8>, ninth: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (third, ninth, log) = (third.clone(), ninth.clone(), Arc::clone(&log));
            tokio::spawn(async move { answer(socket, &third, &ninth, &log).await });
        }
    });
    (url, asked)
}

async fn answer(mut socket: TcpStream, third: &[u8], ninth: &[u8], log: &Mutex<Vec<String>>) {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut piece).await {
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let (status, headers, body): (_, _, &[u8]) = match path.as_str() {
        "/in/-2" | "/in/3" => ("200 OK", "Lp-Trickle-Seq: 3\r\n", third),
        "/in/9" => ("200 OK", "Lp-Trickle-Seq: 9\r\n", ninth),
        "/in/10" => ("404 Not Found", "", b"Stream not found"),
        _ => ("470 Unknown", "Lp-Trickle-Latest: 9\r\nLp-Trickle-Seq: 4\r\n", b"Entry not found"),
    };
    log.lock().unwrap().push(path);
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    let _ = socket.write_all(&[head.as_bytes(), body].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_gone_is_passed_over_and_a_channel_that_is_gone_ends_the_stream() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let (url, asked) = by_the_book(segments[0].clone(), segments[1].clone()).await;
    let channels = Channels::new().await;
    channels.open("out").await;
    let viewer = Viewer::new(&channels.url("out"));
    let request = StreamRequest {
        id: "test".into(),
        subscribe_url: Some(url),
        publish_url: Some(channels.url("out")),
        ..StreamRequest::default()
    };
    let missing_grace = Duration::from_millis(300);
    let trickle = reached_by(ClientConfig { missing_grace, ..ClientConfig::default() });
    let session = channels.run_with(&Untouched, request, StreamOptions::default(), &trickle);
    viewer.reaches(&segments[1]).await;
    ended(&session).await;
    assert_accounted(&session);
    // Both segments came at once, so a slow machine may have had to drop frames of the first.
    let metrics = session.metrics();
    assert_eq!((metrics.frames_in, metrics.frames_out + metrics.frames_dropped), (60, 60));
    assert!(viewer.end().await.frames >= 30);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().any(|path| path == "/in/4") && asked.last().unwrap() == "/in/10", "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_does_not_exist_is_one_clear_error() {
    let channels = Channels::new().await;
    channels.open("out").await;
    let missing_grace = Duration::from_millis(300);
    let trickle = reached_by(ClientConfig { missing_grace, ..ClientConfig::default() });
    let request = channels.request(&["in", "out"]);
    let session = channels.run_with(&Untouched, request, StreamOptions::default(), &trickle);
    let viewer = Viewer::new(&channels.url("out"));
    ended(&session).await;
    let error = session.status().last_error.expect("it is said");
    assert!(error.ends_with("/in: no such channel"), "{error}");
    assert_eq!(viewer.end().await.units, []);
}
