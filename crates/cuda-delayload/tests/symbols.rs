//! The lists in `symbols/` match the `cudarc` that the workspace builds with. Update them with
//! `UPDATE_SYMBOLS=1 cargo test -p cutrickle-cuda-delayload --features cuda --test symbols`.
#![cfg(all(feature = "cuda", target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stage::{Stage, run};

/// The modules of cudarc and the names of their libraries for the linker.
const MODULES: [(&str, &str); 5] = [
    ("driver", "cuda"),
    ("cublas", "cublas"),
    ("cublaslt", "cublasLt"),
    ("curand", "curand"),
    ("nvrtc", "nvrtc"),
];

#[test]
fn there_is_a_trampoline_for_every_function_of_cudarc() {
    let cudarc = cudarc(&Stage::set());
    for (module, library) in MODULES {
        let path = cudarc.join("src").join(module).join("sys/mod.rs");
        let source = fs::read_to_string(&path).unwrap();
        let functions: BTreeSet<_> = source.lines().filter_map(function).collect();
        // Counted in another way, so that syntax that `function` does not recognise is noticed. Two functions
        // are cudarc's own.
        let declared =
            source.lines().filter_map(|line| line.strip_prefix("pub unsafe fn ")?.split('(').next());
        let declared: BTreeSet<_> =
            declared.filter(|name| !name.ends_with("culib") && !name.ends_with("_present")).collect();
        assert_eq!(functions.len(), declared.len(), "{} is written in another way", path.display());

        let list = functions.into_iter().collect::<Vec<_>>().join("\n") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("symbols/{library}.txt"));
        if std::env::var_os("UPDATE_SYMBOLS").is_some() {
            fs::write(&path, &list).unwrap();
        }
        assert!(fs::read_to_string(&path).unwrap() == list, "{} is out of date", path.display());
    }
}

/// Returns the folder that contains the source of cudarc.
fn cudarc(stage: &Stage) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--manifest-path"]).arg(stage.manifest());
    let metadata: serde_json::Value = serde_json::from_str(&run(&mut cargo)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let cudarc = packages.iter().find(|package| package["name"] == "cudarc").unwrap();
    Path::new(cudarc["manifest_path"].as_str().unwrap()).parent().unwrap().to_path_buf()
}

/// Returns the line of the list for a line of source that declares a foreign function: its name, and what it
/// returns if that is not a status. Such declarations are indented and have no body.
fn function(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("            fn ")?.strip_suffix(';')?.split_once('(')?;
    let returns = rest.rsplit_once(')')?.1.trim_start_matches(" -> ");
    let returns = match returns {
        "CUresult" | "cublasStatus_t" | "curandStatus_t" | "nvrtcResult" => "",
        "*const ::core::ffi::c_char" => " text",
        "usize" => " number",
        "" => " nothing",
        other => panic!("{name} returns {other}: the trampolines need a fallback for it"),
    };
    Some(format!("{name}{returns}"))
}
