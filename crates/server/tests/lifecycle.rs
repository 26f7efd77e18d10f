//! Streams that come and go, and a worker that does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
use cutrickle_server::StreamServer;
use serde_json::json;
use support::{Passthrough, Upstream, Worker, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Initialised when told so; counts the streams that began and ended.
#[derive(Clone)]
struct Watched {
    initialize: Arc<Semaphore>,
    started: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
}

impl Watched {
    fn new(permits: usize) -> Self {
        Self {
            initialize: Arc::new(Semaphore::new(permits)),
            started: Arc::default(),
            stopped: Arc::default(),
        }
    }
}

impl FrameProcessor for Watched {
    async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
        self.initialize.acquire().await?.forget();
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn on_stream_start(&mut self, _: &StreamContext) -> Result<()> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn on_stream_stop(&mut self, _: &StreamContext) -> Result<()> {
        self.stopped.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_initialize_is_loading_until_it_returns() {
    let upstream = Upstream::new().await;
    let processor = Watched::new(0);
    let worker = Worker::with(StreamServer::builder(processor.clone())).await;
    let start = upstream.start().to_string();
    assert_eq!(worker.get("/health").await.json()["status"], "LOADING");
    worker.post("/stream/start", &start).await.refuses(503, "loading");
    processor.initialize.add_permits(1);
    worker.until_health("IDLE").await;
    worker.post("/stream/start", &start).await.succeeds();
    worker.shut_down().await;
}

#[tokio::test]
async fn a_panic_in_initialize_leaves_the_process_up_and_says_so() {
    #[derive(Clone)]
    struct Panics;
    impl FrameProcessor for Panics {
        async fn initialize(&mut self, _: &candle_core::Device) -> Result<()> {
            panic!("no driver")
        }
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }
    let worker = Worker::with(StreamServer::builder(Panics)).await;
    worker.until_health("ERROR").await;
    let health = worker.get("/health").await;
    assert_eq!(health.code, 503);
    assert!(health.json()["error"].as_str().unwrap().contains("panicked"));
    worker
        .post("/stream/start", json!({ "publish_url": "http://127.0.0.1:1/o" }).to_string())
        .await
        .refuses(503, "panicked");
    assert_eq!(worker.get("/version").await.code, 200);
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_whose_clone_panics_costs_its_start_not_the_slot() {
    /// The next clone fails, if it is told so.
    #[derive(Debug)]
    struct Once(Arc<AtomicBool>);
    impl Clone for Once {
        fn clone(&self) -> Self {
            assert!(!self.0.swap(false, Ordering::SeqCst), "as it is told to");
            Self(Arc::clone(&self.0))
        }
    }
    impl FrameProcessor for Once {
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }
    let upstream = Upstream::new().await;
    let fails = Arc::new(AtomicBool::new(false));
    let worker = Worker::with(StreamServer::builder(Once(Arc::clone(&fails)))).await;
    worker.until_health("IDLE").await;
    fails.store(true, Ordering::SeqCst);
    let start = upstream.start().to_string();
    worker.post("/stream/start", &start).await.refuses(500, "panicked");
    assert_eq!(worker.get("/health").await.json()["status"], "IDLE");
    worker.post("/stream/start", &start).await.succeeds();
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_starts_at_once_exactly_one_wins() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let (worker, start) = (Arc::new(worker), upstream.start().to_string());
    for _ in 0..5 {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let (worker, start) = (Arc::clone(&worker), start.clone());
                tokio::spawn(async move { worker.post("/api/stream/start", start).await })
            })
            .collect();
        let mut won = 0;
        for start in starts {
            let answer = start.await.unwrap();
            if answer.code == 200 {
                won += 1;
            } else {
                answer.refuses(503, "capacity");
            }
        }
        assert_eq!(won, 1);
        worker.post("/api/stream/stop", "").await.succeeds();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_and_stops_twenty_times_over() {
    let upstream = Upstream::new().await;
    let processor = Watched::new(1);
    let worker = Worker::with(StreamServer::builder(processor.clone())).await;
    worker.until_health("IDLE").await;
    let start = upstream.start().to_string();
    for n in 1..=20 {
        let name = format!("take-{n}");
        worker.post_named("/stream/start", &name, &start).await.succeeds();
        assert_eq!(worker.get("/health").await.json()["status"], "OK");
        worker.post_named("/stream/stop", &name, "").await.succeeds();
        let status = worker.get("/stream/status").await.json();
        assert_eq!((&status["status"], &status["last_stream"]["stream_id"]), (&json!("IDLE"), &json!(name)));
        assert_eq!(status["last_stream"]["state"], "OFFLINE", "{status}");
    }
    let counts = (processor.started.load(Ordering::SeqCst), processor.stopped.load(Ordering::SeqCst));
    assert_eq!(counts, (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_stop_at_once_leave_a_worker_that_takes_streams() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    let start = upstream.start().to_string();
    for _ in 0..20 {
        let (started, stopped) =
            tokio::join!(worker.post("/stream/start", &start), worker.post("/stream/stop", ""));
        started.succeeds();
        if stopped.code != 200 {
            stopped.refuses(400, "no stream");
            worker.post("/stream/stop", "").await.succeeds();
        }
        assert_eq!(worker.get("/health").await.json()["status"], "IDLE");
    }
}

/// Whose start and end wait until they are let go.
#[derive(Debug)]
struct Gated {
    clones: Arc<Barrier>,
    /// The next clone waits.
    hold_clone: Arc<AtomicBool>,
    stops: Arc<Semaphore>,
    stopping: Arc<AtomicUsize>,
}

impl Gated {
    fn new() -> Self {
        let (clones, stops) = (Arc::new(Barrier::new(2)), Arc::new(Semaphore::new(0)));
        Self { clones, hold_clone: Arc::default(), stops, stopping: Arc::default() }
    }

    /// The same, for the test to hold.
    fn twin(&self) -> Self {
        let Self { clones, hold_clone, stops, stopping } = self;
        Self {
            clones: Arc::clone(clones),
            hold_clone: Arc::clone(hold_clone),
            stops: Arc::clone(stops),
            stopping: Arc::clone(stopping),
        }
    }
}

impl Clone for Gated {
    fn clone(&self) -> Self {
        if self.hold_clone.swap(false, Ordering::SeqCst) {
            // Once to say that it is here, once to go on.
            self.clones.wait();
            self.clones.wait();
        }
        self.twin()
    }
}

impl FrameProcessor for Gated {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn on_stream_stop(&mut self, _: &StreamContext) -> Result<()> {
        self.stopping.fetch_add(1, Ordering::SeqCst);
        self.stops.acquire().await?.forget();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_start_waits_for_it_and_ends_the_stream() {
    let (gate, upstream) = (Gated::new(), Upstream::new().await);
    gate.stops.add_permits(1);
    let worker = Worker::with(StreamServer::builder(gate.twin())).await;
    worker.until_health("IDLE").await;
    gate.hold_clone.store(true, Ordering::SeqCst);
    let start = upstream.start().to_string();
    let letting_go = async {
        let clones = Arc::clone(&gate.clones);
        tokio::task::spawn_blocking(move || clones.wait()).await.unwrap();
        // The start is under way and has its slot. A stop that comes now has nothing to end yet.
        assert_eq!(worker.get("/health").await.json()["status"], "OK");
        worker.post_named("/stream/start", "b", &start).await.refuses(503, "capacity");
        let stop = worker.post_named("/stream/stop", "a", "");
        tokio::pin!(stop);
        let early = tokio::time::timeout(Duration::from_millis(50), stop.as_mut()).await;
        assert!(early.is_err(), "nothing has been stopped yet");
        let clones = Arc::clone(&gate.clones);
        tokio::task::spawn_blocking(move || clones.wait()).await.unwrap();
        stop.await
    };
    let (started, stopped) = tokio::join!(worker.post_named("/stream/start", "a", &start), letting_go);
    started.succeeds();
    stopped.succeeds();
    assert_eq!(worker.get("/health").await.json()["status"], "IDLE");
    assert_eq!(gate.stopping.load(Ordering::SeqCst), 1, "its hook has run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_a_stop_still_flushes_is_refused_and_taken_when_that_has_ended() {
    let (gate, upstream) = (Gated::new(), Upstream::new().await);
    let worker = Worker::with(StreamServer::builder(gate.twin())).await;
    worker.until_health("IDLE").await;
    let start = upstream.start().to_string();
    worker.post_named("/stream/start", "a", &start).await.succeeds();
    let meanwhile = async {
        until(async || gate.stopping.load(Ordering::SeqCst) == 1).await;
        worker.post_named("/stream/start", "b", &start).await.refuses(503, "capacity");
        worker.post_named("/stream/start", "a", &start).await.refuses(503, "running already");
        gate.stops.add_permits(2);
    };
    let (stopped, ()) = tokio::join!(worker.post_named("/stream/stop", "a", ""), meanwhile);
    stopped.succeeds();
    worker.post_named("/stream/start", "a", &start).await.succeeds();
    worker.post_named("/stream/stop", "a", "").await.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stops_at_once_both_succeed() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    worker.post_named("/stream/start", "a", upstream.start().to_string()).await.succeeds();
    let stop = || worker.post_named("/stream/stop", "a", "");
    let (first, second) = tokio::join!(stop(), stop());
    first.succeeds();
    second.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_whose_caller_hangs_up_still_stops() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    worker.post("/stream/start", upstream.start().to_string()).await.succeeds();
    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    socket.write_all(b"POST /stream/stop HTTP/1.1\r\nHost: w\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    drop(socket);
    worker.until_health("IDLE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_input_frees_the_slot() {
    let (worker, upstream) = (Worker::idle().await, Upstream::new().await);
    worker.post_named("/stream/start", "a", upstream.start().to_string()).await.succeeds();
    assert_eq!(worker.get("/health").await.json()["status"], "OK");
    let server = upstream.end_input().await;
    worker.until_health("IDLE").await;
    let status = worker.get("/stream/status").await.json();
    assert_eq!(status["last_stream"]["stream_id"], "a");
    let again = worker.post_named("/stream/stop", "a", "").await.succeeds();
    assert_eq!(again["message"], "Stream already stopped");
    worker.post("/stream/stop", "").await.refuses(400, "no stream");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_the_streams_with_their_hooks() {
    let upstream = Upstream::new().await;
    let processor = Watched::new(1);
    let worker = Worker::with(StreamServer::builder(processor.clone())).await;
    worker.until_health("IDLE").await;
    worker.post("/stream/start", upstream.start().to_string()).await.succeeds();
    until(async || processor.started.load(Ordering::SeqCst) == 1).await;
    let address = worker.address;
    // An idle connection must not hold the server up.
    let mut idle = TcpStream::connect(address).await.unwrap();
    worker.shut_down().await;
    assert_eq!(processor.stopped.load(Ordering::SeqCst), 1);
    assert_eq!(within(idle.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line() {
    let worker = Worker::idle().await;
    let port = worker.address.port();
    let server = StreamServer::builder(Passthrough).host("127.0.0.1").port(port).build().unwrap();
    let error = server.bind().await.unwrap_err();
    assert!(error.is_address_in_use() && !error.is_invalid());
    let text = format!("{error:?}");
    assert!(
        text.starts_with(&format!("port {port} on 127.0.0.1 is taken: ")) && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let builder = || StreamServer::builder(Passthrough);
    for (wrong, named) in [
        (builder().target_fps(0), "target_fps"),
        (builder().target_fps(61), "target_fps"),
        (builder().max_queue_size(0), "max_queue_size"),
        (builder().host("nowhere.example"), "host"),
        (builder().host(""), "host"),
    ] {
        let error = wrong.build().unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains(named), "{error}");
    }
    for host in ["0.0.0.0", "::", "[::1]", "localhost"] {
        builder().host(host).target_fps(60).max_queue_size(1).build().unwrap();
    }
}
