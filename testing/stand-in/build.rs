//! Generates an entry point for each library function that the sources do not implement.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The lists of each library's functions, with the library's own status for "not supported".
const LISTS: [(&str, i32); 6] = [
    // CUDA_ERROR_NOT_SUPPORTED
    ("../../crates/cuda-delayload/symbols/cuda.txt", 801),
    ("symbols/nvcuvid.txt", 801),
    // CUBLAS_STATUS_NOT_SUPPORTED
    ("../../crates/cuda-delayload/symbols/cublas.txt", 15),
    ("../../crates/cuda-delayload/symbols/cublasLt.txt", 15),
    // CURAND_STATUS_INTERNAL_ERROR, because cuRAND has no status for "not supported".
    ("../../crates/cuda-delayload/symbols/curand.txt", 999),
    // NVRTC_ERROR_INTERNAL_ERROR, for the same reason.
    ("../../crates/cuda-delayload/symbols/nvrtc.txt", 11),
];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src");
    let mut written = BTreeSet::new();
    collect(Path::new("src"), &mut written)?;
    let mut source = String::new();
    for (list, status) in LISTS {
        println!("cargo:rerun-if-changed={list}");
        for line in fs::read_to_string(list)?.lines() {
            let (name, returns) = line.split_once(' ').unwrap_or((line, "status"));
            if name.is_empty() || !written.insert(name.to_owned()) {
                continue;
            }
            let (kind, value) = match returns {
                "text" => ("*const core::ffi::c_char", format!("text({name:?})")),
                "number" | "nothing" => ("usize", format!("number({name:?})")),
                _ => ("i32", format!("status({name:?}, {status})")),
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                source,
                "#[unsafe(no_mangle)]\nextern \"C\" fn {name}() -> {kind} {{\n    {value}\n}}"
            );
        }
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(folder.join("missing.rs"), source)?;
    // The library's threads run until the program ends, so it must not be unloaded before.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    Ok(())
}

/// Collects the names of the entry points that the sources below `folder` implement.
fn collect(folder: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, names)?;
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            if let Some(name) = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                && ["cu", "nvrtc", "NvEncodeAPI"].iter().any(|prefix| name.starts_with(prefix))
            {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(())
}
