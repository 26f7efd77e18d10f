//! Compiles the kernels to a single image for every supported GPU. Without the feature `cuda`, it does
//! nothing and does not need the CUDA toolkit.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The architectures to compile machine code for (Ampere to Blackwell). Newer GPUs get PTX for the last one,
/// which the driver compiles.
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
    // The architectures are compiled in parallel, within the number of jobs that cargo allows.
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

/// Returns nvcc from CUDA_HOME or CUDA_PATH if it exists there, and otherwise the one on the PATH.
fn nvcc() -> PathBuf {
    ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|home| Path::new(&home).join("bin").join(format!("nvcc{}", env::consts::EXE_SUFFIX)))
        .find(|nvcc| nvcc.is_file())
        .unwrap_or_else(|| PathBuf::from("nvcc"))
}
