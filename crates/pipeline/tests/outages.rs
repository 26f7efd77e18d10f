//! Trickle servers that go away, fall silent, or no longer have what is asked for. How long an outage lasts is what
//! is tested, so these tests wait for that long; for everything else they wait on events.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutrickle_pipeline::{MetricsRegistry, Session, StreamOptions, StreamRequest};
use cutrickle_trickle::{ClientConfig, Server, ServerConfig};
use live::{Clip, Replaced, Stage, Untouched, Viewer, assert_accounted, ended, every_picture, judge};
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
    let stage = Stage::at(format!("http://{address}/"));
    let (session, viewer) = stage.start(&Replaced, json!({}), every_picture()).await;
    let mut source = stage.source();
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
    assert_eq!(seen.pictures, 120, "nothing was sent while the server was away: {:?}", session.metrics());
    assert_eq!(judge(&seen.bytes).complaints, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_seconds_of_silence_do_not_end_the_stream() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let stage = Stage::new().await;
    let (session, viewer) = stage.start(&Replaced, json!({}), every_picture()).await;
    let mut source = stage.source();
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
    assert_eq!(seen.pictures, 60);
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
    let stage = Stage::new().await;
    stage.open("out").await;
    let viewer = Viewer::new(&stage.url("out"));
    let request = StreamRequest {
        id: "test".into(),
        subscribe_url: Some(url),
        publish_url: Some(stage.url("out")),
        ..StreamRequest::default()
    };
    let trickle = ClientConfig { missing_grace: Duration::from_millis(300), ..ClientConfig::default() };
    let options = StreamOptions { trickle, ..StreamOptions::default() };
    let registry = MetricsRegistry::new().unwrap();
    let session = Session::start(&Untouched, request, options, &registry).unwrap();
    viewer.reaches(&segments[1]).await;
    ended(&session).await;
    assert_accounted(&session);
    // Both segments came at once, so a slow machine may have had to drop pictures of the first.
    let metrics = session.metrics();
    assert_eq!((metrics.frames_in, metrics.frames_out + metrics.frames_dropped), (60, 60));
    assert!(viewer.end().await.pictures >= 30);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().any(|path| path == "/in/4") && asked.last().unwrap() == "/in/10", "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_does_not_exist_is_one_clear_error() {
    let stage = Stage::new().await;
    let trickle = ClientConfig { missing_grace: Duration::from_millis(300), ..ClientConfig::default() };
    let options = StreamOptions { trickle, ..StreamOptions::default() };
    let (session, viewer) = stage.start(&Untouched, json!({}), options).await;
    ended(&session).await;
    let error = session.status().last_error.expect("it is said");
    assert!(error.ends_with("/in: no such channel"), "{error}");
    assert_eq!(viewer.end().await.units, []);
}
