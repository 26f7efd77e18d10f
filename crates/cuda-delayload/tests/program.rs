//! A program that links CUDA the way candle does starts without it, and uses it if it is there. Each test
//! runs the program once for each linker.
#![cfg(all(feature = "cuda", target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use stage::{LIBRARIES, Stage, run};

struct Programs {
    stage: Stage,
    /// The programs with the name that the linker leaves in them.
    programs: Vec<(&'static str, PathBuf)>,
}

/// Exports all symbols of a program that are not hidden.
const SHOWN: &str = "-Clink-arg=-rdynamic";

/// On x86-64, the compiler ships its own linker, and the system has another one.
const LINKERS: &[(&str, &[&str])] = if cfg!(target_arch = "x86_64") {
    &[("LLD", &[SHOWN]), ("GNU", &[SHOWN, "-Clinker-features=-lld", "-Clink-arg=-fuse-ld=bfd"])]
} else {
    &[("GNU", &[SHOWN])]
};

static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
    let stage = Stage::set();
    stage.make_libraries();
    let programs = LINKERS
        .iter()
        .map(|&(linker, flags)| (linker, stage.build(&format!("with-{linker}"), flags)))
        .collect();
    Programs { stage, programs }
});

impl Programs {
    /// Returns what each of the programs prints if this folder of the stage is searched for libraries first.
    fn print(&self, what: &str, folder: Option<&str>) -> Vec<String> {
        let print = |(_, program): &(_, PathBuf)| {
            let mut command = Command::new(program);
            command.arg(what).env_remove("LD_LIBRARY_PATH");
            if let Some(folder) = folder {
                command.env("LD_LIBRARY_PATH", self.stage.path(folder));
            }
            run(&mut command)
        };
        self.programs.iter().map(print).collect()
    }
}

#[test]
fn a_program_needs_no_cuda_library_to_start() {
    for (linker, program) in &PROGRAMS.programs {
        let comment = run(Command::new("readelf").args(["-p", ".comment"]).arg(program));
        assert_eq!(comment.contains("LLD"), *linker == "LLD", "{comment}");

        let dynamic = run(Command::new("readelf").arg("-d").arg(program));
        let needed: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
        assert!(needed.iter().any(|line| line.contains("libc.so")), "{dynamic}");
        for name in LIBRARIES.map(|(name, ..)| name).into_iter().chain(["cudart"]) {
            assert!(!needed.iter().any(|line| line.contains(&format!("lib{name}."))), "{needed:?}");
        }
    }
    for said in PROGRAMS.print("", None) {
        assert_eq!(said, "started\n");
    }
}

#[test]
fn nothing_of_cuda_is_visible_to_other_objects() {
    for (_, program) in &PROGRAMS.programs {
        let symbols = run(Command::new("readelf").args(["--dyn-syms", "--wide"]).arg(program));
        let names: Vec<_> = symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
        // This crate does not hide the symbols of the runtime.
        assert!(names.contains(&"cudaRuntimeGetVersion"), "nothing is shown at all: {symbols}");
        let of_libraries = |name: &&&str| name.starts_with("cu") && !name.starts_with("cuda");
        let ours =
            |name: &&&str| of_libraries(name) || name.starts_with("nvrtc") || name.starts_with("delayload");
        assert_eq!(names.iter().filter(ours).collect::<Vec<_>>(), [&""; 0]);
    }
}

/// Nothing panics, whatever this machine has installed.
#[test]
fn every_library_can_be_asked_for() {
    PROGRAMS.print("five", None);
}

#[test]
fn a_missing_library_is_its_own_error() {
    for said in PROGRAMS.print("five", Some("broken")) {
        let expected = [
            "cuda: Err(DriverError(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, \"@broken/libcuda.so.1: file too short\"))",
            "cublas: Err(CublasError(CUBLAS_STATUS_NOT_INITIALIZED))",
            "cublasLt: Err(CublasError(CUBLAS_STATUS_NOT_INITIALIZED))",
            "curand: Err(CurandError(CURAND_STATUS_INITIALIZATION_FAILED))",
            "nvrtc: Err(CreationError(NvrtcError(NVRTC_ERROR_INTERNAL_ERROR)))",
            "cuGetErrorName: Ok(\"CUDA_ERROR_SHARED_OBJECT_INIT_FAILED\")",
            "cublasGetStatusName: @broken/libcublas.so.12: file too short",
            "cublasLtGetStatusName: @broken/libcublasLt.so.12: file too short",
            "nvrtcGetErrorString: @broken/libnvrtc.so.12: file too short",
            "cublasGetCudartVersion: 0",
            "cublasLtGetVersion: 0",
            // From the toolkit's archive, even though there is a shared library as well.
            "cudaRuntimeGetVersion: 0 13000",
        ];
        let folder = PROGRAMS.stage.path("");
        let expected = expected.join("\n").replace('@', folder.to_str().unwrap());
        assert_eq!(said.trim_end(), expected);
    }
}

#[test]
fn every_argument_reaches_the_library() {
    for said in PROGRAMS.print("arguments", Some("libraries")) {
        assert_eq!(said, "first: all intact\nsecond: all intact\n");
    }
}

#[test]
fn first_calls_from_many_threads_all_arrive() {
    for said in PROGRAMS.print("threads", Some("libraries")) {
        assert_eq!(said, "all intact\n");
    }
}

#[test]
fn a_library_without_the_function_is_an_error_too() {
    let cuda = "cuda: CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND\n";
    let curand = "curand: CURAND_STATUS_INITIALIZATION_FAILED\n";
    for said in PROGRAMS.print("lacking", Some("libraries")) {
        assert_eq!(said, [cuda, curand, cuda, curand].concat());
    }
}

/// The test `every_argument_reaches_the_library` shows that the version that the program was built for is
/// preferred.
#[test]
fn another_version_is_taken_where_the_right_one_is_missing() {
    for said in PROGRAMS.print("five", Some("older")) {
        let version = 0x1234_5678_9abc_de00_u64 + 13;
        assert!(said.contains(&format!("cublasLtGetVersion: {version}\n")), "{said}");
    }
}
