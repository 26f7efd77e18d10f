//! Runs the demonstration as scripts do, and looks at it as browsers do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn so_many_frames_and_then_the_metrics_as_json() {
    for processor in ["tint", "passthrough"] {
        let output = demo(&["--frames", "60", "--processor", processor]).output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let metrics: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
        assert!(metrics["frames_received"].as_u64() >= Some(60), "{metrics}");
        assert!(metrics["frames_processed"].as_u64() >= Some(60), "{metrics}");
        assert_eq!(metrics["error_count"], 0, "{metrics} {said}");
        for name in ["fps", "latency_ms"] {
            assert!(metrics[name].as_f64() > Some(0.0), "{metrics}");
        }
        for name in ["gpu_memory_mb", "frames_dropped"] {
            assert!(metrics[name].is_number(), "{metrics}");
        }
    }
}

/// The answer to a GET, its head and at least `least` bytes of its body.
fn get(url: &str, least: usize) -> Vec<u8> {
    let (host, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut socket = TcpStream::connect(host).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while answer.len() < least {
        match socket.read(&mut piece).expect("it answers in time") {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    answer
}

#[test]
fn the_page_and_both_channels_are_served() {
    let mut running = Running(demo(&[]).stdout(Stdio::piped()).spawn().expect("the command runs"));
    let mut lines = BufReader::new(running.0.stdout.take().expect("it is piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    let page = first.split_whitespace().last().expect("a URL").to_owned();
    let text = |path: &str| String::from_utf8_lossy(&get(&format!("{page}{path}"), usize::MAX)).into_owned();

    let html = text("");
    assert!(html.starts_with("HTTP/1.1 200") && html.contains("id=\"output\""), "{html}");
    assert!(html.contains("/api/stream/schema"), "its controls are made from the schema of the parameters");
    assert!(text("mpegts.js").contains("createPlayer"));
    assert!(text("demo.json").contains("\"processor\":\"tint\""));
    for side in ["input", "output"] {
        let answer = get(&format!("{page}watch/{side}.ts"), 200_000);
        let head = String::from_utf8_lossy(&answer[..200]).into_owned();
        assert!(answer.len() >= 200_000, "{side}: {head}");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("video/MP2T"), "{side}: {head}");
    }
}
