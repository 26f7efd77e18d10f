//! Builds one archive of trampolines per CUDA library, and copies the toolkit's static runtime next to them.
//! `trampolines/` contains the trampolines' code, and `symbols/` the lists of functions.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::toolkit::Toolkit;

/// A library that a program is linked with and that is opened on the first call.
struct Library {
    /// The name after `-l`.
    name: &'static str,
    files: Files,
    /// The library's own status codes for a missing library and for a library without the function.
    absent: i32,
    lacking: i32,
}

/// The files that may contain a library.
enum Files {
    /// The same file for every version of the toolkit.
    One(&'static str),
    /// One file for each version of the toolkit, newest first.
    PerMajor(&'static [(u32, &'static str)]),
}

/// These codes exist in every version of `cuda.h`, `cublas_api.h`, `curand.h` and `nvrtc.h` since CUDA 11.4,
/// because a Rust enum must never receive a value that it does not have.
const LIBRARIES: [Library; 5] = [
    // CUDA_ERROR_SHARED_OBJECT_INIT_FAILED and _SYMBOL_NOT_FOUND mean exactly this. They distinguish a
    // machine without a driver from one with a driver but no GPU, which is CUDA_ERROR_NO_DEVICE.
    Library { name: "cuda", files: Files::One("libcuda.so.1"), absent: 303, lacking: 302 },
    // CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_NOT_SUPPORTED.
    Library {
        name: "cublas",
        files: Files::PerMajor(&[(13, "libcublas.so.13"), (12, "libcublas.so.12"), (11, "libcublas.so.11")]),
        absent: 1,
        lacking: 15,
    },
    Library {
        name: "cublasLt",
        files: Files::PerMajor(&[
            (13, "libcublasLt.so.13"),
            (12, "libcublasLt.so.12"),
            (11, "libcublasLt.so.11"),
        ]),
        absent: 1,
        lacking: 15,
    },
    // CURAND_STATUS_INITIALIZATION_FAILED.
    Library { name: "curand", files: Files::One("libcurand.so.10"), absent: 203, lacking: 203 },
    // NVRTC_ERROR_INTERNAL_ERROR.
    Library {
        name: "nvrtc",
        files: Files::PerMajor(&[(13, "libnvrtc.so.13"), (12, "libnvrtc.so.12"), (11, "libnvrtc.so.11.2")]),
        absent: 11,
        lacking: 11,
    },
];

/// Builds the archives and adds their folder to the linker's path. Cargo passes the folders of build scripts
/// before all others, so they come before the toolkit's.
pub(crate) fn make() -> Result<(), String> {
    for folder in ["build", "symbols", "trampolines"] {
        println!("cargo:rerun-if-changed={folder}");
    }
    let target = |part: &str| variable(&format!("CARGO_CFG_TARGET_{part}"));
    let architecture = target("ARCH")?;
    let known = matches!(architecture.as_str(), "x86_64" | "aarch64");
    if !known || target("OS")? != "linux" || target("ENV")? != "gnu" {
        return Ok(());
    }

    let archives = PathBuf::from(variable("OUT_DIR")?);
    let toolkit = Toolkit::find();
    let major = toolkit.as_ref().and_then(Toolkit::major);
    for library in &LIBRARIES {
        library
            .make(&architecture, major, &archives)
            .map_err(|why| format!("lib{}.a: {why}", library.name))?;
    }
    let runtime = archives.join("libcudart.a");
    // It may have been copied from a previous toolkit.
    if runtime.exists() {
        fs::remove_file(&runtime).map_err(|e| format!("{}: {e}", runtime.display()))?;
    }
    if let Some(toolkit) = toolkit {
        copy_runtime(&toolkit, &architecture, &runtime)?;
    }
    println!("cargo:rustc-link-search=native={}", archives.display());
    Ok(())
}

impl Library {
    fn make(&self, architecture: &str, major: Option<u32>, archives: &Path) -> Result<(), String> {
        let list = Path::new("symbols").join(format!("{}.txt", self.name));
        let list = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
        let source = archives.join(format!("{}.S", self.name));
        fs::write(&source, self.trampolines(&list, architecture)?)
            .map_err(|e| format!("{}: {e}", source.display()))?;

        cc::Build::new()
            .file(source)
            .file("trampolines/resolve.c")
            .include("trampolines")
            .define("LIBRARY", self.name)
            .define("FILES", self.files(major).as_str())
            .define("ABSENT", self.absent.to_string().as_str())
            .define("LACKING", self.lacking.to_string().as_str())
            .pic(true)
            // The code that uses a library links it; this archive only has to be found.
            .cargo_metadata(false)
            .try_compile(self.name)
            .map_err(|e| e.to_string())
    }

    /// Returns the source of one trampoline for each function of a list. A line of the list is the function's
    /// name, followed by what it returns if that is not a status.
    fn trampolines(&self, list: &str, architecture: &str) -> Result<String, String> {
        let mut source = format!("#include \"{architecture}.S\"\n");
        for line in list.lines() {
            let (name, returns) = line.split_once(' ').unwrap_or((line, "status"));
            let fallback = match (name, returns) {
                ("cuGetErrorName", "status") => "name_error",
                ("cuGetErrorString", "status") => "describe_error",
                (_, "status" | "text" | "number" | "nothing") => returns,
                _ => return Err(format!("{name} returns {returns}, which has no fallback")),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(source, "trampoline {name}, delayload_{}_{fallback}", self.name);
        }
        Ok(source)
    }

    /// Returns the files to try as C initialisers, beginning with the version that the program is built for.
    fn files(&self, major: Option<u32>) -> String {
        let files = match self.files {
            Files::One(file) => vec![file],
            Files::PerMajor(files) => {
                let (same, other): (Vec<_>, Vec<_>) = files.iter().partition(|(of, _)| Some(*of) == major);
                same.into_iter().chain(other).map(|&(_, file)| file).collect()
            }
        };
        files.iter().map(|file| format!("\"{file}\",")).collect()
    }
}

/// Copies the static runtime, which compiled kernels need. It needs no trampolines, because the archive opens
/// the driver in the same way.
fn copy_runtime(toolkit: &Toolkit, architecture: &str, to: &Path) -> Result<(), String> {
    let Some(runtime) = toolkit.static_runtime(architecture) else {
        println!(
            "cargo:warning={} has no libcudart_static.a: a program that uses the CUDA runtime will need libcudart.so \
             to start",
            toolkit.root().display()
        );
        return Ok(());
    };
    println!("cargo:rerun-if-changed={}", runtime.display());
    fs::copy(&runtime, to).map_err(|e| format!("{}: {e}", runtime.display()))?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}
