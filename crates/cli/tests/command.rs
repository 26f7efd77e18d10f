//! What the command does if it cannot do what it was asked for: an exit code and one line, for people and for
//! scripts.
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

/// Checks for exit code 1, nothing on standard output, and one line on standard error that contains `word`.
#[track_caller]
fn fails_with_one_line(arguments: &[&str], word: &str) {
    let output = cutrickle(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.contains(word), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
}

/// A port of 127.0.0.1 on which nothing listened a moment ago.
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
        &["serve", "--bitrate", "0"],
        &["serve", "--queue", "some"],
        &["serve", "--max-latency", "0"],
        &["serve", "--retry-for", "-1"],
        &["serve", "--input-timeout", "soon"],
        &["trickle-server", "--listen", ":x"],
        &["serve", "--processor", "tint,magic"],
        &["new"],
        &["new", "one", "--template", "magic"],
        &["process", "file.ts", "--output", "out.ts"],
        &["process", "file.ts", "--processor", "tint"],
        &["dance"],
    ] {
        let output = cutrickle(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains("--help"), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}

/// Checks for exit code 2, nothing on standard output, and one line on standard error that contains `word`.
#[track_caller]
fn refuses_with_one_line(arguments: &[&str], word: &str) {
    let output = cutrickle(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.contains(word), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_a_worker_could_never_do_is_found_out_at_its_start() {
    let serve =
        |arguments: &[&'static str]| [&["serve", "--port", "0", "--device", "cpu"], arguments].concat();
    refuses_with_one_line(&serve(&["--ca-file", "no/such/file.pem"]), "no/such/file.pem");
    let no_certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    refuses_with_one_line(&serve(&["--ca-file", no_certificate]), "no certificate");
    refuses_with_one_line(&serve(&["--video-codec", "h265"]), "--video-codec: only GPUs");
    refuses_with_one_line(&serve(&["--max-queue-size", "0"]), "max_queue_size");
    refuses_with_one_line(&serve(&["--host", "here"]), "here");
}

#[test]
fn a_reader_that_has_seen_enough_is_a_normal_end_of_whatever_prints() {
    for arguments in [&["list"][..], &["list", "--json"], &["doctor"], &["doctor", "--json"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
        let output = command.args(arguments).stdout(writer).output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_line_where_it_is_told_and_an_exit_code_where_it_is_not() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    for arguments in [&["list"][..], &["list", "--json"], &["doctor"], &["doctor", "--json"], &["--help"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
        let output = command.args(arguments).stdout(full()).output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(said.starts_with("error: standard output: "), "{arguments:?}: {said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutrickle"));
    let failed = command.args(["publish", "no/such/file.ts", "--url", "http://127.0.0.1:1/x"]);
    assert_eq!(failed.stderr(full()).status().expect("the command runs").code(), Some(1));
}

/// A file in the format of safetensors with these tensors, which are all zeros in f32.
fn weights(name: &str, tensors: &[(&str, &[usize])]) -> std::path::PathBuf {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.resize(file.len() + end, 0);
    let path = std::env::temp_dir().join(format!("cutrickle-command-{}-{name}", std::process::id()));
    std::fs::write(&path, file).expect("a file is written");
    path
}

#[test]
fn weights_that_are_missing_or_do_not_fit_are_one_line_at_the_start() {
    for processor in ["depth", "segment"] {
        fails_with_one_line(
            &["serve", "--processor", processor, "--weights", "no/such/file"],
            "no/such/file",
        );
    }
    let tensors: [(&str, &[usize]); 2] =
        [("pretrained.cls_token", &[1, 1, 64]), ("pretrained.pos_embed", &[1, 27, 64])];
    for (tensors, wanted) in [(&tensors[..1], "pretrained.pos_embed"), (&[], "pretrained.cls_token")] {
        let file = weights(wanted, tensors);
        let path = file.to_str().expect("a path in UTF-8");
        fails_with_one_line(&["serve", "--processor", "tint,depth", "--weights", path], wanted);
        fails_with_one_line(&["demo", "--processor", "depth", "--weights", path], path);
        std::fs::remove_file(&file).expect("the file is there");
    }
}

#[test]
fn weights_belong_to_processors_that_take_them() {
    for (arguments, word) in [
        (&["--processor", "depth"][..], "`depth` takes its weights from a file: --weights PATH"),
        (&["--processor", "tint,segment,mirror"], "`segment`"),
        (&["--processor", "tint,mirror", "--weights", "some.safetensors"], "`tint,mirror`"),
        (&["--weights", "some.safetensors"], "some.safetensors"),
    ] {
        refuses_with_one_line(&[&["serve"], arguments].concat(), word);
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
    assert!(said.starts_with("Real-time AI video"), "{said}");
    let words = [
        "demo",
        "serve",
        "process",
        "trickle-server",
        "publish",
        "record",
        "probe",
        "video decode",
        "audio encode",
    ];
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
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/clip/big-buck-bunny.ts");
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
fn the_doctor_names_the_backends_and_says_which_ones_a_stream_uses() {
    let told = cutrickle(&["doctor"]);
    assert!(told.status.success());
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.lines().last().is_some_and(|line| line.starts_with("--device auto is ")), "{text}");
    let told = cutrickle(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).expect("it is JSON");
    assert!(json["no_gpu"].is_string() != json["devices"][0].is_object(), "{json}");
    for backend in json["backends"].as_array().expect("backends") {
        let name = backend["name"].as_str().expect("a name");
        assert!(text.lines().any(|line| line.contains(name)), "{name}: {text}");
    }
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_one_line() {
    let told = cutrickle(&["serve", "--device", "cuda:4711", "--port", "0"]);
    let said = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("cuda:4711"), "{said}");
}

/// A folder that is deleted when this is dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cutrickle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn cutrickle(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cutrickle"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .expect("the command runs")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_new_worker_has_no_word_left_to_fill_in_and_names_its_dependency() {
    let folder = Folder::new("new");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for (name, flags, wanted) in [
        ("one", &["--cutrickle-version", "9.8.7"][..], "cutrickle = \"9.8.7\""),
        ("two", &["--cutrickle-path", sources], "crates/cutrickle\" }"),
        // The sources that this command was built from are on this machine.
        ("three", &[], "crates/cutrickle\" }"),
    ] {
        let arguments = ["new", name, "--template", "candle-model"];
        let output = folder.cutrickle(&[&arguments, flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |file: &str| std::fs::read_to_string(folder.0.join(name).join(file)).expect(file);
        for file in
            ["Cargo.toml", "README.md", "Dockerfile", "Dockerfile.cuda", ".dockerignore", ".gitignore"]
        {
            assert!(!read(file).contains("{{"), "{file}: {}", read(file));
        }
        assert!(read("Cargo.toml").contains(wanted), "{}", read("Cargo.toml"));
        assert!(read("Dockerfile").contains(&format!("ENTRYPOINT [\"{name}\"]")));
        assert!(read("src/processor.rs").contains("#[tokio::test]"));
        assert!(folder.0.join(name).join("weights/model.safetensors").is_file());
    }
}

#[test]
fn a_new_worker_overwrites_nothing_and_has_a_name_that_cargo_takes() {
    let folder = Folder::new("taken");
    std::fs::create_dir(folder.0.join("full")).expect("a folder");
    std::fs::write(folder.0.join("full/notes"), "mine").expect("a file");
    std::fs::create_dir(folder.0.join("empty")).expect("a folder");
    for (arguments, code) in [
        (&["new", "full"][..], 1),
        (&["new", ""], 2),
        (&["new", "../up"], 2),
        (&["new", "Upper"], 2),
        (&["new", "1st"], 2),
        (&["new", "self"], 2),
        (&["new", "cutrickle"], 2),
        (&["new", "fine", "--cutrickle-path", "nowhere"], 2),
        (&["new", "fine", "--cutrickle-version", "no\"pe"], 2),
    ] {
        let output = folder.cutrickle(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(folder.cutrickle(&["new", "empty"]).status.success());
    let mut left: Vec<_> = std::fs::read_dir(&folder.0)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["empty", "full"]);
    assert_eq!(std::fs::read_dir(folder.0.join("full")).expect("the folder").count(), 1);
}

#[test]
fn the_list_names_every_template_and_processor_with_a_line() {
    let list = cutrickle(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let text = cutrickle(&["list"]);
    let text = String::from_utf8_lossy(&text.stdout);
    for (kind, names) in [
        ("templates", &["passthrough", "candle-model", "analytics", "audio"][..]),
        ("processors", &["passthrough", "tint", "super-resolution", "depth", "segment"]),
    ] {
        let entries = list[kind].as_array().expect(kind);
        for name in names {
            let entry = entries.iter().find(|entry| entry["name"] == **name).expect(name);
            let about = entry["about"].as_str().expect("a line");
            assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about}");
            assert!(text.lines().any(|line| line.contains(name) && line.ends_with(about)), "{name}: {text}");
        }
    }
    let processors = list["processors"].as_array().expect("processors");
    let tint = processors.iter().find(|entry| entry["name"] == "tint").expect("tint");
    assert_eq!(tint["params"]["properties"]["strength"]["maximum"], 1.0, "{tint}");
    assert!(
        text.lines().any(|line| line.trim().starts_with("strength") && line.contains("from 0")),
        "{text}"
    );
}
