//! Compiles the kernels to one image for every supported GPU. Without the feature `cuda` it does nothing, and
//! needs no toolkit.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Machine code for each of these (Ampere to Blackwell). Newer GPUs get PTX of the last, which the driver
/// compiles.
const ARCHITECTURES: [u32; 6] = [80, 86, 89, 90, 100, 120];

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    match compile() {
        Ok(image) => {
            println!("cargo:rustc-env=CUTRICKLE_KERNEL_IMAGE={}", image.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<PathBuf, String> {
    for variable in ["CUDA_HOME", "CUDA_PATH", "PATH", "NVCC_CCBIN", "NVCC_APPEND_FLAGS"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let variable = |name| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let kernels = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("kernels");
    println!("cargo:rerun-if-changed={}", kernels.display());
    let image = Path::new(&variable("OUT_DIR")?).join("kernels.fatbin");
    let nvcc = nvcc();

    let mut command = Command::new(&nvcc);
    command.args(["--fatbin", "-std=c++17", "-O3", "-Werror", "all-warnings"]);
    // The architectures are compiled beside each other, within what cargo grants.
    command.arg(format!("--threads={}", env::var("NUM_JOBS").as_deref().unwrap_or("1")));
    for architecture in ARCHITECTURES {
        command.arg("-gencode").arg(format!("arch=compute_{architecture},code=sm_{architecture}"));
    }
    if let Some(newest) = ARCHITECTURES.last() {
        command.arg("-gencode").arg(format!("arch=compute_{newest},code=compute_{newest}"));
    }
    command.arg(kernels.join("all.cu")).arg("-o").arg(&image);

    match command.status() {
        Ok(status) if status.success() => Ok(image),
        Ok(status) => Err(format!("{}: {status}, compiling the kernels", nvcc.display())),
        Err(e) => Err(format!(
            "the feature `cuda` needs nvcc, and {} does not start: {e}. Install the CUDA toolkit and set CUDA_HOME, \
             or run ci/install-nvcc.sh.",
            nvcc.display()
        )),
    }
}

/// nvcc of CUDA_HOME or CUDA_PATH, else the one on the PATH.
fn nvcc() -> PathBuf {
    ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|home| Path::new(&home).join("bin").join(format!("nvcc{}", env::consts::EXE_SUFFIX)))
        .find(|nvcc| nvcc.is_file())
        .unwrap_or_else(|| PathBuf::from("nvcc"))
}
