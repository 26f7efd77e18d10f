//! Helpers for tests: a server that can be killed, deadlines, and a client and a server of raw bytes.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cutrickle_trickle::{
    ClientConfig, Publisher, SegmentReader, SegmentWriter, Server, ServerConfig, Service, Subscriber,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Far longer than any test takes, so that only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits a future that must complete. Panics after a deadline.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting: {what}"),
    }
}

/// Waits until a condition holds. Panics after a deadline.
pub async fn until(what: &str, mut yes: impl FnMut() -> bool) {
    soon(what, async {
        while !yes() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// A server that stops when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub service: Service,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(config: ServerConfig) -> Running {
        Running::start_at(([127, 0, 0, 1], 0).into(), config).await
    }

    pub async fn start_at(address: SocketAddr, config: ServerConfig) -> Running {
        let server = soon("the port", async {
            loop {
                match Server::bind(address, config.clone()).await {
                    Ok(server) => return server,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await;
        Running::of(server)
    }

    pub fn of(server: Server) -> Running {
        let (address, service) = (server.local_addr(), server.service());
        Running { address, service, task: tokio::spawn(server.run(std::future::pending())) }
    }

    pub fn url(&self, channel: &str) -> String {
        format!("http://{}/{channel}", self.address)
    }

    /// A connection with a GET whose head has been read.
    pub async fn reader(&self, path: &str) -> Raw {
        let mut raw = Raw::connect(self.address).await;
        raw.ask("GET", path).await;
        raw.head().await;
        raw
    }

    /// A connection with a POST that has sent its first chunk.
    pub async fn writer(&self, path: &str, chunk: &str) -> Raw {
        let mut raw = Raw::connect(self.address).await;
        raw.post(path, "").await;
        raw.chunk(chunk).await;
        raw
    }

    /// Closes all connections and frees the port.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server with the default settings.
pub async fn server() -> Running {
    Running::start(ServerConfig::default()).await
}

/// Sends a request without a body on a connection of its own.
pub async fn ask(server: &Running, method: &str, path: &str) -> (Head, String) {
    ask_with(server, method, path, "").await
}

/// Like [`ask`], with more headers.
pub async fn ask_with(server: &Running, method: &str, path: &str, headers: &str) -> (Head, String) {
    let mut raw = Raw::connect(server.address).await;
    raw.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}\r\n")).await;
    raw.answer().await
}

pub fn publisher(url: &str) -> Publisher {
    Publisher::new(url, "video/MP2T", ClientConfig::default()).unwrap()
}

/// The next segment of a publisher.
pub async fn segment(publisher: &mut Publisher) -> SegmentWriter {
    soon("a segment", publisher.segment()).await.unwrap()
}

pub fn write(segment: &mut SegmentWriter, text: &'static str) {
    segment.try_write(Bytes::from_static(text.as_bytes())).unwrap();
}

/// The next segment of a subscriber, which must not have come to its end.
pub async fn next(subscriber: &mut Subscriber) -> SegmentReader {
    soon("a segment", subscriber.next()).await.unwrap().expect("a segment")
}

/// One connection of raw bytes, from either side.
pub struct Raw {
    pub stream: TcpStream,
    pub seen: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).await.unwrap())
    }

    pub async fn accept(listener: &TcpListener) -> Raw {
        Raw::over(soon("a connection", listener.accept()).await.unwrap().0)
    }

    pub fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).unwrap();
        Raw { stream, seen: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request without a body.
    pub async fn ask(&mut self, method: &str, path: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n")).await;
    }

    /// Sends the head of a chunked POST.
    pub async fn post(&mut self, path: &str, more: &str) {
        self.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n{more}\r\n"))
            .await;
    }

    pub async fn chunk(&mut self, text: &str) {
        self.send(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    pub async fn end(&mut self) {
        self.send("0\r\n\r\n").await;
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let read = soon("bytes", self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.seen.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Reads up to and including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.seen.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.seen.split_off(at + end.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.seen, rest)).into_owned();
            }
            assert!(self.more().await, "closed before {end:?}: {:?}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// Reads the head of the next message.
    pub async fn head(&mut self) -> Head {
        Head(self.until("\r\n\r\n").await)
    }

    /// Reads a response with a `Content-Length`.
    pub async fn answer(&mut self) -> (Head, String) {
        let head = self.head().await;
        let length: usize = head.header("content-length").expect("a length").parse().unwrap();
        while self.seen.len() < length {
            assert!(self.more().await, "closed within the body");
        }
        let rest = self.seen.split_off(length);
        let body = std::mem::replace(&mut self.seen, rest);
        (head, String::from_utf8(body).unwrap())
    }

    /// Reads the next chunk of a chunked body. Returns `None` at its end.
    pub async fn body_chunk(&mut self) -> Option<String> {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        while self.seen.len() < size + 2 {
            assert!(self.more().await, "closed within a chunk");
        }
        let rest = self.seen.split_off(size + 2);
        let chunk = std::mem::replace(&mut self.seen, rest);
        (size > 0).then(|| String::from_utf8_lossy(&chunk[..size]).into_owned())
    }

    /// Reads all of a chunked body.
    pub async fn body(&mut self) -> String {
        let mut body = String::new();
        while let Some(chunk) = self.body_chunk().await {
            body.push_str(&chunk);
        }
        body
    }

    /// Whether nothing arrives for a moment. A correct peer passes on any machine, however slow it is.
    pub async fn is_silent(&mut self) -> bool {
        let mut buffer = [0; 1];
        let peek = tokio::time::timeout(Duration::from_millis(50), self.stream.peek(&mut buffer)).await;
        self.seen.is_empty() && peek.is_err()
    }

    /// Reads until the peer closes the connection.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }
}

/// A server of raw bytes: the test answers each request itself.
pub struct RawServer {
    listener: TcpListener,
}

impl RawServer {
    pub async fn start() -> RawServer {
        RawServer { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn url(&self) -> String {
        format!("http://{}/ch", self.listener.local_addr().unwrap())
    }

    /// Reads the next request, which must come on a connection of its own.
    pub async fn request(&self) -> (String, Head, Raw) {
        let mut raw = Raw::accept(&self.listener).await;
        let head = raw.head().await;
        let asked = head.line().trim_end_matches(" HTTP/1.1").to_owned();
        (asked, head, raw)
    }

    /// Reads the next request, which must be `wanted`.
    pub async fn expect(&self, wanted: &str) -> Raw {
        let (asked, _, raw) = self.request().await;
        assert_eq!(asked, wanted);
        raw
    }

    /// Reads the next request, which must be `wanted`, answers it and closes the connection.
    pub async fn answer(&self, wanted: &str, status: u16, headers: &str, body: &str) {
        let mut raw = self.expect(wanted).await;
        raw.reply(status, headers, body).await;
    }
}

impl Raw {
    /// Sends a short response that closes the connection.
    pub async fn reply(&mut self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} x\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.send(answer).await;
    }

    /// Sends the head of a segment.
    pub async fn begin(&mut self, seq: u64) {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: {seq}\r\nContent-Type: video/MP2T\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        self.send(answer).await;
    }
}

/// The head of a message as it was sent.
pub struct Head(pub String);

impl Head {
    /// The whole head without the date.
    pub fn text(&self) -> String {
        let lines = self.0.split_inclusive("\r\n").filter(|line| !line.starts_with("Date:"));
        lines.collect()
    }

    pub fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
