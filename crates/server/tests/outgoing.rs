//! Whom a worker connects to, what it trusts there, and that no secret that it was given shows anywhere. All
//! tests here write into one log, which none of their secrets may be in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cutrickle_server::{Registration, StreamServer, StreamServerBuilder};
use cutrickle_trickle::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use support::{Passthrough, Worker, call, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// In everything here that is secret.
const SECRET: &str = "s3cret";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this process, all of it.
fn log() -> String {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .init();
        log
    });
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

/// Requests that came, each with its head.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A server that answers every request with `head` and no body, over TLS where told so.
async fn server(head: String, tls: bool) -> (u16, Requests) {
    log();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Requests::default());
    let (seen, acceptor) = (requests.clone(), acceptor());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (head, seen, acceptor) = (head.clone(), seen.clone(), acceptor.clone());
            // Each by itself: a client may connect and then have nothing to say.
            tokio::spawn(async move {
                if !tls {
                    answer(&mut socket, &head, &seen).await;
                } else if let Ok(mut socket) = acceptor.accept(socket).await {
                    answer(&mut socket, &head, &seen).await;
                }
            });
        }
    });
    (port, requests)
}

async fn answer(socket: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), head: &str, seen: &Requests) {
    let mut request = vec![0; 8192];
    let length = socket.read(&mut request).await.unwrap_or_default();
    seen.0.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
    let _ =
        socket.write_all(format!("{head}Connection: close\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../trickle/tests/data").join(name)
}

fn acceptor() -> TlsAcceptor {
    let certificates =
        CertificateDer::pem_file_iter(data("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn registration(orchestrator: String) -> Registration {
    let mut registration = Registration::new(orchestrator, "http://worker:8000");
    registration.secret = format!("orch {SECRET}");
    registration
}

async fn started(builder: StreamServerBuilder, start: &Value) -> Worker {
    let worker = Worker::with(builder).await;
    worker.until_health("IDLE").await;
    worker.post_named("/stream/start", "camera", start.to_string()).await.succeeds();
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_by_any_channel_nor_by_a_registration() {
    let (elsewhere, wrong) = server("HTTP/1.1 200 OK\r\n".into(), false).await;
    let redirect =
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://localhost:{elsewhere}/in\r\n");
    let (port, asked) = server(redirect, false).await;
    let url = |name: &str| format!("http://127.0.0.1:{port}/{name}");
    let all_asked = async |paths: &[&str]| {
        until(async || {
            let asked = asked.seen().join("\n");
            paths.iter().all(|path| asked.contains(path))
        })
        .await;
    };
    // A stream ends by the redirect of its input, before another channel may have been asked for: hence two.
    let input = json!({ "subscribe_url": url("in"), "publish_url": url("out") });
    let builder = StreamServer::builder(Passthrough).allow_host("127.0.0.1").register(registration(url("")));
    let worker = started(builder, &input).await;
    all_asked(&["/in/", "/out", "/capability/register"]).await;
    worker.until_health("IDLE").await;
    let others =
        json!({ "control_url": url("control"), "events_url": url("events"), "data_url": url("data") });
    worker.post_named("/stream/start", "sensor", others.to_string()).await.succeeds();
    all_asked(&["/control/", "/events"]).await;
    worker.shut_down().await;
    assert_eq!(wrong.seen(), Vec::<String>::new());
}

/// Whether a worker with these settings says anything to an orchestrator and to a channel whose certificate
/// only `ca.pem` vouches for.
async fn speaks(change: impl Fn(&mut ClientConfig)) -> (bool, bool) {
    let (orchestrator, registered) = server("HTTP/1.1 200 OK\r\n".into(), true).await;
    let (channel, subscribed) = server("HTTP/1.1 404 Not Found\r\n".into(), true).await;
    let start = json!({ "subscribe_url": format!("https://127.0.0.1:{channel}/in") });
    let builder = StreamServer::builder(Passthrough)
        .with_trickle(|trickle| {
            trickle.client.missing_grace = Duration::ZERO;
            change(&mut trickle.client);
        })
        .register(registration(format!("https://127.0.0.1:{orchestrator}")));
    let worker = started(builder, &start).await;
    // Refused for good by its certificate, or by the channel's absence, the stream ends; a registration is
    // tried on.
    worker.until_health("IDLE").await;
    let tried =
        || !registered.seen().is_empty() || log().contains(&format!("POST https://127.0.0.1:{orchestrator}"));
    until(async || tried()).await;
    (!registered.seen().is_empty(), !subscribed.seen().is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_unless_told_otherwise() {
    assert_eq!(speaks(|_| {}).await, (false, false));
    assert_eq!(speaks(|client| client.insecure_skip_verify = true).await, (true, true));
    assert_eq!(speaks(|client| client.ca_file = Some(data("ca.pem"))).await, (true, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_the_log_the_status_the_metrics_or_an_answer() {
    let (port, asked) = server("HTTP/1.1 500 No\r\n".into(), false).await;
    let url = |name: &str| format!("http://user:{SECRET}@127.0.0.1:{port}/{name}?token={SECRET}");
    let start = json!({
        "subscribe_url": url("in"), "publish_url": url("out"), "control_url": url("control"),
        "events_url": url("events"), "data_url": url("data"),
    });
    let builder = StreamServer::builder(Passthrough)
        .auth_token(SECRET)
        .register(registration(format!("http://user:{SECRET}@127.0.0.1:{port}")));
    let worker = Worker::with(builder).await;
    worker.until_health("IDLE").await;
    let bearer = format!("Bearer {SECRET}");
    let call = async |method: &str, path: &str, body: &Value| {
        let (headers, body) = ([("Authorization", bearer.as_str())], body.to_string());
        let answer = call(worker.address, method, path, &headers, body.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains(SECRET), "{path}: {text}");
        text
    };
    for (field, wrong) in [
        ("subscribe_url", format!("ftp://user:{SECRET}@127.0.0.1/in")),
        ("publish_url", format!("http://user:{SECRET}@127.0.0.1:0/in?{SECRET}")),
        ("data_url", format!("http://user:{SECRET}@127.0.0.1?{SECRET}")),
    ] {
        let mut malformed = start.clone();
        malformed[field] = json!(wrong);
        assert!(call("POST", "/stream/start", &malformed).await.contains(field));
    }
    call("POST", "/stream/start", &start).await;
    until(async || {
        let asked = asked.seen().join("\n");
        ["/in/", "/control/", "/events"].iter().all(|path| asked.contains(path))
    })
    .await;
    for path in ["/stream/status", "/metrics", "/health", "/version", "/openapi.json"] {
        call("GET", path, &Value::Null).await;
    }
    until(async || asked.seen().iter().any(|head| head.contains("/capability/register"))).await;
    until(async || log().contains("registration failed")).await;
    worker.shut_down().await;
    let log = log();
    assert!(log.contains("127.0.0.1"), "there is something in it");
    let leak = log.lines().find(|line| line.contains(SECRET));
    assert_eq!(leak, None);
}
