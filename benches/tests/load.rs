//! Runs the load client against the trickle server, and checks that it delivers and counts everything and
//! loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The process of a trickle server, which is killed when this is dropped.
struct Server(Child);

impl Server {
    fn start() -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trickle-serve"));
        let mut server = Self(command.stdout(Stdio::piped()).spawn().expect("the server runs"));
        let mut url = String::new();
        BufReader::new(server.0.stdout.take().expect("it is piped")).read_line(&mut url).expect("a line");
        (server, url.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(url: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trickle-load"));
    let output = command.arg(url).arg("--json").args(arguments).output().expect("the client runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const LOAD: [&str; 6] = ["--channels", "2", "--subscribers", "3", "--seconds", "2"];

#[test]
fn every_write_reaches_every_subscriber() {
    let (_server, url) = Server::start();
    let figures = load(&url, &[&LOAD[..], &["--rate", "800k"]].concat());
    for none in ["lost_segments", "wrong_writes", "broken_connections"] {
        assert_eq!(figures[none], 0, "{figures}");
    }
    let (written, delivered) = (&figures["written_mb_s"], &figures["delivered_mb_s"]);
    let readers = delivered.as_f64().unwrap() / written.as_f64().unwrap();
    assert!((2.9..3.1).contains(&readers), "{figures}");
}

#[test]
fn as_fast_as_it_goes_nothing_is_garbled() {
    let (_server, url) = Server::start();
    // At this rate the server's window is only a few milliseconds long. A subscriber that is delayed for
    // longer than that loses segments, which is correct.
    let figures = load(&url, &[&LOAD[..], &["--rate", "max"]].concat());
    for none in ["wrong_writes", "broken_connections"] {
        assert_eq!(figures[none], 0, "{figures}");
    }
    assert!(figures["delivered_mb_s"].as_f64() > figures["written_mb_s"].as_f64(), "{figures}");
}

#[test]
fn idle_channels_and_waiting_readers_are_held() {
    let (_server, url) = Server::start();
    let figures = load(&url, &["--idle-channels", "20", "--waiting-readers", "40"]);
    assert_eq!((&figures["idle_channels"], &figures["waiting_readers"]), (&20.into(), &40.into()));
}
