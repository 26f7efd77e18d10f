//! Callers that are slow, or say too much: each loses its connection and costs nobody else theirs. The limits
//! are set low, so that nothing here has to wait for the real ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::time::{Duration, Instant};

use cutrickle_server::{Limits, StreamServer};
use support::{Answer, Passthrough, Worker, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A limit that is reached soon, and many times longer than a byte of a slow caller takes.
const SOON: Duration = Duration::from_millis(300);
/// Between two bytes of a slow caller.
const DRIP: Duration = Duration::from_millis(5);
/// A limit that is not reached here.
const NEVER: Duration = Duration::from_secs(3600);

async fn worker(change: impl FnOnce(&mut Limits)) -> Worker {
    let worker = Worker::with(StreamServer::builder(Passthrough).with_limits(change)).await;
    worker.until_health("IDLE").await;
    worker
}

async fn connected(worker: &Worker, first: &str) -> TcpStream {
    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    socket.write_all(first.as_bytes()).await.unwrap();
    socket
}

/// Writes a byte now and then, for as long as the other side stays; gives what it said before it went.
async fn drip(socket: TcpStream) -> Vec<u8> {
    let (mut read, mut write) = socket.into_split();
    let dripping = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = within(read.read_to_end(&mut said)).await;
    dripping.abort();
    said
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off_in_time_however_steadily_it_comes() {
    let worker = worker(|limits| (limits.head_timeout, limits.body_timeout) = (SOON, NEVER)).await;
    let begun = Instant::now();
    let said = drip(connected(&worker, "GET /health HTTP/1.1\r\nHost: w\r\nX-Slow: ").await).await;
    assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
    worker.until_health("IDLE").await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let worker = worker(|limits| limits.head_timeout = SOON).await;
    let mut said = Vec::new();
    let _ = within(connected(&worker, "").await.read_to_end(&mut said)).await;
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_answered_408_and_its_connection_closed() {
    let worker = worker(|limits| (limits.body_timeout, limits.head_timeout) = (SOON, NEVER)).await;
    for path in ["/stream/start", "/stream/params", "/stream/stop"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\n{{\"a\": ");
        let mut stopped = connected(&worker, &head).await;
        let mut said = Vec::new();
        within(stopped.read_to_end(&mut said)).await.unwrap();
        Answer::parse(&said).refuses(408, "300ms");
    }
    let head = "POST /stream/start HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\n";
    Answer::parse(&drip(connected(&worker, head).await).await).refuses(408, "300ms");
}

#[tokio::test]
async fn a_head_with_too_much_in_it_is_431() {
    let worker = worker(|limits| limits.head_bytes = 8 << 10).await;
    let head = |fields: &str| format!("GET /health HTTP/1.1\r\nHost: w\r\nConnection: close\r\n{fields}\r\n");
    let many = head(&"X-Bomb: boom\r\n".repeat(150));
    let long = head(&format!("X-Bomb: {}\r\n", "x".repeat(16 << 10)));
    let endless = format!("GET /health HTTP/1.1\r\nX-Bomb: {}", "x".repeat(16 << 10));
    for bomb in [many, long, endless] {
        let mut socket = connected(&worker, &bomb).await;
        let mut said = Vec::new();
        let _ = within(socket.read_to_end(&mut said)).await;
        assert_eq!(Answer::parse(&said).code, 431);
    }
    let fits = head(&format!("{}X-Long: {}\r\n", "X-Field: 1\r\n".repeat(90), "x".repeat(4 << 10)));
    let mut said = Vec::new();
    within(connected(&worker, &fits).await.read_to_end(&mut said)).await.unwrap();
    assert_eq!(Answer::parse(&said).code, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served_when_slow_ones_are_cut_off() {
    let worker = worker(|limits| (limits.connections, limits.head_timeout) = (2, SOON)).await;
    let begun = Instant::now();
    let slow = [connected(&worker, "GET /").await, connected(&worker, "GET /").await];
    assert_eq!(within(worker.get("/health")).await.code, 200);
    assert!(begun.elapsed() >= SOON, "it had to wait for one of the two");
    drop(slow);
}

#[test]
fn limits_that_would_let_nobody_in_are_refused() {
    let (mut closed, mut tiny) = (Limits::default(), Limits::default());
    (closed.connections, tiny.head_bytes) = (0, 100);
    for limits in [closed, tiny] {
        let error = StreamServer::builder(Passthrough).limits(limits).build().unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains("limit"), "{error}");
    }
}
