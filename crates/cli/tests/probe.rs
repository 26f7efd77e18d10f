//! Runs the probe against a real worker. It finds every frame that went through, and reports it if none does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use cutrickle::processors::{Invert, Mirror};
use cutrickle::{Queueing, Stage, StreamOptions, StreamServer};
use cutrickle_trickle::{Server, ServerConfig};
use serde_json::Value;

/// What has not happened by then will not happen, however slow the machine is.
const DEADLINE: Duration = Duration::from_secs(120);

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn trickle_server() -> String {
    let server = Server::bind(local(), ServerConfig::default()).await.unwrap();
    let url = server.url();
    tokio::spawn(server.run(std::future::pending()));
    url
}

async fn worker(stage: impl Stage) -> String {
    // The tests are about what becomes of every frame, on a machine that may be slow.
    let every_frame = |options: &mut StreamOptions| options.queueing = Queueing::All;
    let server = StreamServer::builder(stage).with_options(every_frame).host("127.0.0.1").port(0);
    let server = server.build().unwrap();
    let server = server.bind().await.unwrap();
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.run(std::future::pending()));
    url
}

async fn probe(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    command.arg("probe").args(arguments).kill_on_drop(true);
    tokio::time::timeout(DEADLINE, command.output()).await.expect("the probe ends").unwrap()
}

async fn figures(worker: &str, more: &[&str]) -> Value {
    let trickle = trickle_server().await;
    let mut arguments = vec!["--worker", worker, "--trickle", &trickle, "--json"];
    arguments.extend(["--width", "320", "--height", "240", "--seconds", "4"]);
    arguments.extend(more);
    let output = probe(&arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn assert_whole(figures: &Value) {
    // The first frames may be sent before the worker listens.
    assert!(figures["received"].as_u64().unwrap() >= 90, "{figures}");
    for field in ["lost", "repeated", "reordered", "unreadable"] {
        assert_eq!(figures[field], 0, "{field}: {figures}");
    }
    let offset = figures["av_offset_ms"]["worst"].as_f64().unwrap();
    assert!(offset.abs() < 40.0, "{figures}");
    for field in ["added_latency_ms", "path_latency_ms", "sender_late_ms"] {
        assert!(figures[field]["p99"].is_number(), "{field}: {figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_comes_back_from_a_worker_that_inverts() {
    let worker = worker(Invert).await;
    let own = std::process::id().to_string();
    let figures = figures(&worker, &["--pid", &own]).await;
    assert_whole(&figures);
    assert!(figures["cpu_ms_per_picture"].as_f64().unwrap() > 0.0, "{figures}");
    assert!(figures["rss_peak_mb"].as_f64() >= figures["rss_idle_mb"].as_f64(), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_is_found_mirrored_and_in_another_size() {
    let worker = worker(Mirror).await;
    let figures = figures(&worker, &["--params", r#"{"width": 240, "height": 240}"#]).await;
    assert_whole(&figures);
    assert_eq!((&figures["output_width"], &figures["output_height"]), (&240.into(), &240.into()));
}

#[track_caller]
fn assert_one_line(output: &Output, exit_code: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{said}");
    assert!(said.contains(text) && said.lines().count() == 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_worker_is_one_line_and_exit_code_1() {
    let trickle = trickle_server().await;
    let nobody = std::net::TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let worker = format!("http://{nobody}");
    let small = ["--width", "320", "--height", "240", "--seconds", "3"];
    let mut arguments = vec!["--worker", &worker, "--trickle", &trickle];
    arguments.extend(small);
    assert_one_line(&probe(&arguments).await, 1, &format!("calling the worker at {worker}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_passed_on_in_one_line() {
    let trickle = trickle_server().await;
    let worker = worker(Invert).await;
    let mut arguments = vec!["--worker", &worker, "--trickle", &trickle];
    arguments.extend([
        "--width",
        "320",
        "--height",
        "240",
        "--seconds",
        "3",
        "--params",
        r#"{"width": 240}"#,
    ]);
    assert_one_line(&probe(&arguments).await, 1, "refused to start a stream (400");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_there_is_a_wrong_argument() {
    let output = probe(&["--worker", "http://h", "--trickle", "http://h", "--pid", "4194305"]).await;
    assert_one_line(&output, 2, "--pid 4194305");
}
