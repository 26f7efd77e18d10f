//! How the command ends when it cannot do what was asked: an exit code and a line, for people and for scripts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn cutrickle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutrickle"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command runs")
}

/// Exit code 1, nothing on stdout, and on stderr one line that has `word` in it.
#[track_caller]
fn fails_with_one_line(arguments: &[&str], word: &str) {
    let output = cutrickle(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.contains(word), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
}

/// A port of 127.0.0.1 that nothing listens on, as far as one can know.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

#[test]
fn a_wrong_argument_is_exit_code_2_and_names_the_usage() {
    for arguments in [
        &["publish"][..],
        &["publish", "file.ts"],
        &["record", "--url", "http://127.0.0.1:1/x"],
        &["record", "--url", "http://127.0.0.1:1/x", "--output", "-", "--duration", "soon"],
        &["trickle-server", "--listen", "here"],
        &["demo", "--processor", "magic"],
        &["demo", "--frames", "0"],
        &["serve", "--target-fps", "61"],
        &["serve", "--processor", "tint,magic"],
        &["dance"],
    ] {
        let output = cutrickle(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains("--help"), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}

#[test]
fn standard_input_cannot_loop() {
    let output = cutrickle(&["publish", "-", "--loop", "--url", "http://127.0.0.1:1/x"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
}

#[test]
fn help_names_every_subcommand_and_the_backends() {
    let output = cutrickle(&["--help"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    let words =
        ["demo", "serve", "trickle-server", "publish", "record", "probe", "video decode", "audio encode"];
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_file_that_cannot_be_published_is_one_line() {
    let closed = format!("http://127.0.0.1:{}/x", free_port());
    fails_with_one_line(&["publish", "no/such/file.ts", "--url", &closed], "no/such/file.ts");
    fails_with_one_line(&["publish", env!("CARGO_MANIFEST_DIR"), "--url", &closed], "directory");
}

#[test]
fn a_url_that_cannot_be_used_is_one_line() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/clip/big-buck-bunny.ts");
    let closed = format!("http://127.0.0.1:{}/x", free_port());
    fails_with_one_line(&["publish", file, "--url", &closed], "refused");
    for malformed in ["", "nonsense", "http://127.0.0.1:99999/x", "http://127.0.0.1:3389"] {
        fails_with_one_line(&["publish", file, "--url", malformed], "URL");
        fails_with_one_line(&["record", "--output", "-", "--url", malformed], "URL");
    }
}

#[test]
fn a_busy_port_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let port = address.port().to_string();
    fails_with_one_line(&["trickle-server", "--listen", &address.to_string()], &port);
    fails_with_one_line(&["serve", "--host", "127.0.0.1", "--port", &port], &port);
    fails_with_one_line(&["demo", "--port", &port], &port);
}

#[test]
fn the_doctor_says_which_way_a_picture_takes() {
    let told = cutrickle(&["doctor"]);
    assert!(told.status.success());
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.lines().last().is_some_and(|line| line.starts_with("--device auto is ")), "{text}");
    let told = cutrickle(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).expect("it is JSON");
    assert!(json["no_gpu"].is_string() != json["devices"][0].is_object(), "{json}");
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_one_line() {
    let told = cutrickle(&["serve", "--device", "cuda:4711", "--port", "0"]);
    let said = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("cuda:4711"), "{said}");
}
