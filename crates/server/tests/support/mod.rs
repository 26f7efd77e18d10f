//! A worker on a free port, a trickle server for it to talk to, and a client that writes its HTTP by hand.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
use cutrickle_server::{StreamServer, StreamServerBuilder};
use cutrickle_trickle::{ClientConfig, Publisher, Server, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far longer than anything here takes; whoever waits longer has found a hang.
pub const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

pub struct Worker {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Worker {
    /// A worker whose processor is initialised.
    pub async fn idle() -> Self {
        let worker = Self::with(StreamServer::builder(Passthrough)).await;
        worker.until_health("IDLE").await;
        worker
    }

    pub async fn with(builder: StreamServerBuilder) -> Self {
        let server = builder.host("127.0.0.1").port(0).build().unwrap().bind().await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    pub async fn get(&self, path: &str) -> Answer {
        call(self.address, "GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        call(self.address, "POST", path, &[], body.as_ref()).await
    }

    pub async fn post_named(&self, path: &str, stream: &str, body: impl AsRef<[u8]>) -> Answer {
        call(self.address, "POST", path, &[("X-Stream-Id", stream)], body.as_ref()).await
    }

    pub async fn until_health(&self, wanted: &str) {
        until(async || self.get("/health").await.json()["status"] == wanted).await;
    }

    pub async fn shut_down(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(DEADLINE, self.task).await.expect("the server ends").unwrap();
    }
}

/// Asks until the answer is yes.
pub async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.expect("it comes true");
}

/// A trickle server with a channel `in` that is open and empty.
pub struct Upstream {
    url: String,
    input: Publisher,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn new() -> Self {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), ServerConfig::default()).await.unwrap();
        let url = server.url();
        let task = tokio::spawn(server.run(std::future::pending()));
        let mut input = Publisher::new(&format!("{url}in"), "video/mp2t", ClientConfig::default()).unwrap();
        drop(input.segment().await.unwrap());
        Self { url, input, task }
    }

    /// The body of a start from `in` to `out`.
    pub fn start(&self) -> Value {
        json!({ "subscribe_url": format!("{}in", self.url), "publish_url": format!("{}out", self.url) })
    }

    /// Ends the input, as a publisher that closes its channel does.
    pub async fn end_input(self) -> impl Drop {
        self.input.close().await.unwrap();
        AbortOnDrop(self.task)
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// What came over the wire, to the connection's end.
    pub fn parse(bytes: &[u8]) -> Self {
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("an answer, not {:?}", String::from_utf8_lossy(bytes));
        });
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { code, head, body: bytes[at + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// That this is a refusal of that code, in one line that has all of `named` in it.
    #[track_caller]
    pub fn refuses(&self, code: u16, named: &str) {
        let body = self.json();
        assert_eq!(self.code, code, "{body}");
        let error = body["error"].as_str().expect("an error");
        assert!(error.contains(named) && !error.contains('\n') && error.len() < 500, "{error}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
    }

    #[track_caller]
    pub fn succeeds(&self) -> Value {
        let body = self.json();
        assert_eq!((self.code, &body["status"]), (200, &json!("success")), "{body}");
        body
    }
}

pub async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    raw(address, &[head.as_bytes(), body].concat()).await
}

/// Sends bytes as they are, and takes what comes until the other side hangs up.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    within(async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer)
    })
    .await
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("within the deadline")
}

/// That code and body are those of `tests/golden/{name}.json`. With `UPDATE_GOLDEN` set, writes them there.
#[track_caller]
pub fn golden(name: &str, answer: &Answer) {
    let mut body = answer.json();
    level(&mut body);
    level_state(&mut body);
    compare_golden(name, &json!({ "code": answer.code, "body": body }));
}

#[track_caller]
pub fn compare_golden(name: &str, seen: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{seen:#}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let wanted: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(*seen, wanted, "{name}: {seen:#}");
}

/// Figures that differ from run to run, once there are any.
const FIGURES: [&str; 8] = [
    "error_count",
    "fps",
    "frames_dropped",
    "frames_in",
    "frames_out",
    "frames_processed",
    "latency_ms",
    "output_bytes_dropped",
];

/// Levels what differs from run to run, and from machine to machine.
pub fn level(value: &mut Value) {
    each_field(value, &|name, value| match (name, &*value) {
        ("uptime_s", Value::Number(_)) => *value = json!("<seconds>"),
        ("started_at" | "ended_at", Value::Number(_)) => *value = json!("<moment>"),
        ("request_id", Value::String(id)) if id.starts_with("stream-") => *value = json!("<made up>"),
        ("version", Value::String(version)) if version == env!("CARGO_PKG_VERSION") => {
            *value = json!("<this version>");
        }
        ("stream_id", Value::String(id)) if id.starts_with("stream-") => *value = json!("<made up>"),
        // Whether there is a GPU is not what is looked at here.
        ("gpu_info" | "gpu_stats", Value::Object(_)) => *value = json!({}),
        ("driver", Value::String(_)) => *value = Value::Null,
        ("video", Value::Object(video)) if video.contains_key("host_decoder") => {
            *value = json!("<this machine's>")
        }
        (name, Value::Number(figure)) if FIGURES.contains(&name) && figure.as_f64() > Some(0.0) => {
            *value = json!("<some>");
        }
        _ => {}
    });
}

/// Levels the state of a stream that has no input: which of the two goes by how long this machine took.
fn level_state(value: &mut Value) {
    each_field(value, &|name, value| match (name, &*value) {
        ("state" | "stream_state", Value::String(state))
            if state == "LOADING" || state == "DEGRADED_INPUT" =>
        {
            *value = json!("<without input>");
        }
        _ => {}
    });
}

fn each_field(value: &mut Value, change: &impl Fn(&str, &mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                change(name, value);
                each_field(value, change);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each_field(value, change)),
        _ => {}
    }
}
