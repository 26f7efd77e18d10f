//! Registration and heartbeats against an orchestrator that takes nothing but what the real one documents: an
//! unknown field, a wrong header, a second registration or a late heartbeat fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cutrickle_server::{LiveRunner, Registration, StreamServer};
use serde::Deserialize;
use serde_json::{Value, json};
use support::{DEADLINE, Passthrough, Upstream, Worker};
use tokio::sync::{Notify, oneshot};

const SECRET: &str = "orch s3cret";

/// Everything that a BYOC registration may hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is parsed is checked by being parsed")]
struct Capability {
    name: String,
    description: String,
    url: String,
    capacity: u32,
    price_per_unit: i64,
    price_scaling: i64,
    currency: String,
    token: String,
}

/// Everything that a live runner's heartbeat may hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Heartbeat {
    runner_id: Option<String>,
    runner_url: String,
    app: String,
    mode: String,
    capacity: u32,
    price_info: PriceInfo,
    gpu: Option<Gpu>,
    version: String,
    metadata: Option<Value>,
    status: String,
    #[serde(default)]
    session_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceInfo {
    price: serde_json::Number,
    currency: String,
    unit: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Gpu {
    id: String,
    name: String,
    vram_mb: u64,
}

/// What the orchestrator has seen, and what it answers next in the place of a success.
#[derive(Default)]
struct Seen {
    log: Vec<(Instant, String, Value)>,
    wrong: Vec<String>,
    refuse: VecDeque<StatusCode>,
    /// The secret of the runner that is known, if one is.
    known: Option<String>,
    runners: u32,
    /// The next registration by heartbeat is answered when this is sent.
    hold: Option<oneshot::Receiver<()>>,
}

#[derive(Clone, Default)]
struct Double(Arc<(Mutex<Seen>, Notify)>);

impl Double {
    async fn start() -> (Self, String) {
        let double = Self::default();
        let routes = Router::new()
            .route("/capability/register", post(register))
            .route("/capability/unregister", post(unregister))
            .route("/runners/heartbeat", post(heartbeat))
            .route("/runners/{id}/unregister", post(unregister_runner))
            .with_state(double.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (double, url)
    }

    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        let seen = look(&mut self.0.0.lock().unwrap());
        self.0.1.notify_waiters();
        seen
    }

    /// Notes a call. What is wrong about it is told by the test: a panic here would only break a connection.
    fn note(&self, call: &str, body: Value, wrong: Option<String>) -> Option<StatusCode> {
        self.see(|seen| {
            seen.log.push((Instant::now(), call.to_owned(), body));
            seen.wrong.extend(wrong);
            seen.refuse.pop_front()
        })
    }

    /// Waits until there were `n` calls of that name, and gives them.
    async fn calls(&self, name: &str, n: usize) -> Vec<(Instant, Value)> {
        let wait = async {
            loop {
                let changed = self.0.1.notified();
                let calls: Vec<_> = self.see_quietly(name);
                if calls.len() >= n {
                    return calls;
                }
                changed.await;
            }
        };
        let calls =
            tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{n} calls of {name}"));
        assert_eq!(self.0.0.lock().unwrap().wrong, Vec::<String>::new());
        calls
    }

    fn see_quietly(&self, name: &str) -> Vec<(Instant, Value)> {
        let seen = self.0.0.lock().unwrap();
        seen.log.iter().filter(|(_, call, _)| call == name).map(|(at, _, body)| (*at, body.clone())).collect()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("<none>")
}

async fn register(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let mut wrong = None;
    if header(&headers, "authorization") != SECRET {
        wrong = Some(format!("Authorization: {}", header(&headers, "authorization")));
    }
    if let Err(e) = serde_json::from_slice::<Capability>(&body) {
        wrong = Some(format!("registration: {e}"));
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match double.note("register", body, wrong) {
        Some(status) => (status, "no\nand a second line".into()),
        None => (StatusCode::OK, "ok".into()),
    }
}

async fn unregister(State(double): State<Double>, headers: HeaderMap, body: String) -> StatusCode {
    let wrong = (header(&headers, "authorization") != SECRET).then(|| "unregister: Authorization".to_owned());
    double.note("unregister", json!(body), wrong).unwrap_or(StatusCode::OK)
}

async fn heartbeat(State(double): State<Double>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let shown = header(&headers, "authorization").to_owned();
    let parsed = serde_json::from_slice::<Heartbeat>(&body);
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (known, runners) = double.see(|seen| (seen.known.clone(), seen.runners));
    let heartbeat = match parsed {
        Ok(heartbeat) => heartbeat,
        Err(e) => {
            double.note("heartbeat", json, Some(format!("heartbeat: {e}")));
            return (StatusCode::BAD_REQUEST, e.to_string());
        }
    };
    let mut wrong = Vec::new();
    let price = &heartbeat.price_info;
    if price.currency != "usd" || price.unit != "hour" || price.price.as_f64() <= Some(0.0) {
        wrong.push(format!("{price:?}"));
    }
    if heartbeat.mode != "persistent" || heartbeat.status != "ready" {
        wrong.push(format!("{heartbeat:?}"));
    }
    if heartbeat.runner_id.is_some() {
        let Some(secret) = known else {
            double.note("heartbeat", json, None);
            return (StatusCode::NOT_FOUND, "runner not found".into());
        };
        if shown != secret {
            wrong.push(format!("a heartbeat with {shown}"));
        }
        let refused = double.note("heartbeat", json, wrong.pop());
        let runner = format!("runner_{runners}");
        return (
            refused.unwrap_or(StatusCode::OK),
            json!({ "runner_id": runner, "session_ids": [] }).to_string(),
        );
    }
    if shown != SECRET {
        wrong.push(format!("a first heartbeat with {shown}"));
    }
    let refused = double.note("heartbeat", json, wrong.pop());
    if let Some(status) = refused {
        return (status, "not now".into());
    }
    if let Some(released) = double.see(|seen| seen.hold.take()) {
        let _ = released.await;
    }
    let (id, secret) = double.see(|seen| {
        seen.runners += 1;
        let secret = format!("heartbeat s3cret {}", seen.runners);
        seen.known = Some(secret.clone());
        (format!("runner_{}", seen.runners), secret)
    });
    let answer = json!({
        "runner_id": id,
        "heartbeat_interval": "5s",
        "heartbeat_ttl": "20s",
        "heartbeat_secret": secret,
        "session_ids": [],
    });
    (StatusCode::OK, answer.to_string())
}

async fn unregister_runner(
    State(double): State<Double>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let secret = double.see(|seen| seen.known.take());
    let wrong = (Some(header(&headers, "authorization")) != secret.as_deref())
        .then(|| "unregister runner".to_owned());
    double.note("unregister_runner", json!(id), wrong).unwrap_or(StatusCode::OK)
}

fn registration(orchestrator: String) -> Registration {
    let mut registration = Registration::new(orchestrator, "http://worker:8000");
    registration.secret = SECRET.into();
    registration.description = "Turns colours round".into();
    registration.price_per_unit = 12;
    registration.price_scaling = 1_000;
    registration.currency = "wei".into();
    registration
}

#[tokio::test]
async fn a_worker_registers_once_and_takes_it_back_at_the_end() {
    let (double, url) = Double::start().await;
    let builder =
        StreamServer::builder(Passthrough).capability_name("invert").capacity(3).auth_token("t0ken");
    let worker = Worker::with(builder.register(registration(url))).await;
    let registered = &double.calls("register", 1).await[0].1;
    assert_eq!(
        *registered,
        json!({
            "name": "invert", "description": "Turns colours round", "url": "http://worker:8000", "capacity": 3,
            "price_per_unit": 12, "price_scaling": 1000, "currency": "wei", "token": "t0ken",
        })
    );
    worker.shut_down().await;
    assert_eq!(double.calls("unregister", 1).await[0].1, json!("invert"), "the bare name");
    assert_eq!(
        double.calls("register", 1).await.len(),
        1,
        "registering again would zero the orchestrator's count"
    );
}

#[tokio::test]
async fn a_registration_is_tried_until_the_orchestrator_takes_it() {
    let (double, url) = Double::start().await;
    double.see(|seen| seen.refuse.extend([StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE]));
    let worker = Worker::with(StreamServer::builder(Passthrough).register(registration(url))).await;
    let calls = double.calls("register", 3).await;
    let waits: Vec<_> = calls.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    assert!((0.8..1.9).contains(&waits[0]) && (1.6..3.5).contains(&waits[1]), "{waits:?}");
    worker.shut_down().await;
    double.calls("unregister", 1).await;
}

#[tokio::test]
async fn a_registration_that_is_refused_is_given_up_and_the_worker_serves_on() {
    let (double, url) = Double::start().await;
    double.see(|seen| seen.refuse.push_back(StatusCode::BAD_REQUEST));
    let worker = Worker::with(StreamServer::builder(Passthrough).register(registration(url))).await;
    double.calls("register", 1).await;
    worker.until_health("IDLE").await;
    worker.shut_down().await;
    let calls = (double.see_quietly("register").len(), double.see_quietly("unregister").len());
    assert_eq!(calls, (1, 0), "what was not taken is not taken back");
}

#[tokio::test]
async fn a_worker_that_ends_while_it_cannot_register_ends_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker =
        Worker::with(StreamServer::builder(Passthrough).register(registration(format!("http://{nobody}"))))
            .await;
    worker.until_health("IDLE").await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_runner_beats_in_time_under_the_secret_it_was_given_and_comes_back_when_forgotten() {
    let (double, url) = Double::start().await;
    let price = serde_json::Number::from_f64(0.25).unwrap();
    let mut runner = LiveRunner::new(url, "http://worker:8000", "live-video-to-video/invert", price);
    runner.secret = SECRET.into();
    let upstream = Upstream::new().await;
    let worker = Worker::with(StreamServer::builder(Passthrough).capacity(2).live_runner(runner)).await;
    double.calls("heartbeat", 1).await;
    worker.post_named("/stream/start", "camera", upstream.start().to_string()).await.succeeds();
    let beats = double.calls("heartbeat", 2).await;
    assert_eq!(beats[0].1["session_ids"], json!([]));
    assert_eq!(
        (&beats[1].1["session_ids"], &beats[1].1["runner_id"]),
        (&json!(["camera"]), &json!("runner_1"))
    );
    let late = beats[1].0 - beats[0].0;
    assert!((Duration::from_secs(4)..Duration::from_secs(7)).contains(&late), "{late:?}");

    let (release, hold) = oneshot::channel();
    double.see(|seen| (seen.known, seen.hold) = (None, Some(hold)));
    let beats = double.calls("heartbeat", 4).await;
    assert_eq!(beats[2].1["runner_id"], json!("runner_1"), "that one is answered 404 …");
    assert_eq!(beats[3].1.get("runner_id"), None, "… and at once followed by a registration");
    // The worker ends before that is answered.
    let answer_late = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
    };
    tokio::join!(worker.shut_down(), answer_late);
    assert_eq!(double.calls("unregister_runner", 1).await[0].1, json!("runner_2"));
}

#[tokio::test]
async fn a_listed_runner_is_healthy_only_once_it_has_loaded() {
    #[derive(Clone)]
    struct Loading;
    impl cutrickle_pipeline::FrameProcessor for Loading {
        async fn initialize(&mut self, _: &candle_core::Device) -> cutrickle_pipeline::Result<()> {
            std::future::pending().await
        }
        async fn process_video(
            &mut self,
            frame: cutrickle_frame::VideoFrame,
            _: &cutrickle_pipeline::StreamContext,
        ) -> cutrickle_pipeline::Result<Option<cutrickle_frame::VideoFrame>> {
            Ok(Some(frame))
        }
    }
    let loading = Worker::with(StreamServer::builder(Loading).strict_health(true)).await;
    assert_eq!(loading.get("/health").await.code, 503);
    let full = Worker::with(StreamServer::builder(Passthrough).strict_health(true)).await;
    full.until_health("IDLE").await;
    let upstream = Upstream::new().await;
    full.post("/stream/start", upstream.start().to_string()).await.succeeds();
    assert_eq!(full.get("/health").await.code, 200, "an unhealthy runner would lose the stream that it has");
}

#[test]
fn what_cannot_be_announced_is_said_at_once() {
    let error =
        StreamServer::builder(Passthrough).register(registration("orch:8935".into())).build().unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("orch:8935"), "{error}");
    assert!(!format!("{error:?}").contains(SECRET));
}
