//! Prepares a folder for the tests with the program under test, a stand-in for the CUDA toolkit that it is
//! built with, and stand-ins for the libraries that it may find.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The libraries' names for the linker and the files that contain them. One has two versions, because only
/// their order determines which of them is used.
pub const LIBRARIES: [(&str, &str, u32); 6] = [
    ("cuda", "libcuda.so.1", 12),
    ("cublas", "libcublas.so.12", 12),
    ("cublasLt", "libcublasLt.so.13", 13),
    ("cublasLt", "libcublasLt.so.12", 12),
    ("curand", "libcurand.so.10", 12),
    ("nvrtc", "libnvrtc.so.12", 12),
];

pub struct Stage {
    folder: PathBuf,
    /// Held while the stage is in use, so that tests in other processes wait.
    _lock: File,
}

impl Stage {
    pub fn set() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stage");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let stage = Self { folder, _lock: lock };
        stage.copy_program();
        stage
    }

    fn copy_program(&self) {
        for file in ["Cargo.toml", "build.rs", "src/main.rs", "src/arguments.rs"] {
            let text = fs::read_to_string(Path::new(CRATE).join("tests/program").join(file)).unwrap();
            self.write(&format!("program/{file}"), &text.replace("@DELAYLOAD@", CRATE));
        }
        // The program uses the versions of the workspace, most importantly that of cudarc.
        let versions = Path::new(CRATE).join("../../Cargo.lock");
        if versions.exists() {
            fs::copy(versions, self.path("program/Cargo.lock")).unwrap();
        }
    }

    /// Returns the manifest of the program, from which cargo determines its dependencies.
    pub fn manifest(&self) -> PathBuf {
        self.path("program/Cargo.toml")
    }

    /// Builds the stand-ins: `toolkit`, which claims to be CUDA 12.8, `libraries`, which contains all
    /// libraries, `older`, with another version of one library, and `broken`, where all exist but none can be
    /// opened.
    pub fn make_libraries(&self) {
        self.write("toolkit/include/cuda.h", "#define CUDA_VERSION 12080\n");
        for folder in ["toolkit/lib64/stubs", "libraries", "older", "broken"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        for (name, file, major) in LIBRARIES {
            let library = self.path("libraries").join(file);
            let soname = format!("-Wl,-soname,{file}");
            let major = format!("-DMAJOR={major}");
            run(cc().args(["-shared", &soname, &major]).arg(source(name)).arg("-o").arg(&library));
            let folder = if name == "cuda" { "toolkit/lib64/stubs" } else { "toolkit/lib64" };
            fs::copy(&library, self.path(folder).join(format!("lib{name}.so"))).unwrap();
            self.write(&format!("broken/{file}"), "");
        }
        for file in
            ["libcublas.so.13", "libnvrtc.so.13", "libcublas.so.11", "libcublasLt.so.11", "libnvrtc.so.11.2"]
        {
            self.write(&format!("broken/{file}"), "");
        }
        fs::copy(self.path("libraries/libcublasLt.so.13"), self.path("older/libcublasLt.so.13")).unwrap();

        let runtime = self.path("toolkit/lib64");
        run(cc()
            .args(["-shared", "-Wl,-soname,libcudart.so.12"])
            .arg(source("cudart"))
            .arg("-o")
            .arg(runtime.join("libcudart.so")));
        run(cc().arg("-c").arg(source("cudart")).arg("-o").arg(self.path("cudart.o")));
        run(Command::new("ar").arg("crs").arg(runtime.join("libcudart_static.a")).arg(self.path("cudart.o")));
    }

    /// Builds the program with these linker flags and keeps it under this name.
    pub fn build(&self, name: &str, flags: &[&str]) -> PathBuf {
        let target = self.path("target");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--quiet", "--bin", "program", "--manifest-path"]).arg(self.manifest());
        cargo.arg("--target-dir").arg(&target).arg("--").args(flags);
        for variable in ["CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR", "CUDARC_CUDA_VERSION"]
            .into_iter()
            .chain(["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"])
        {
            cargo.env_remove(variable);
        }
        run(cargo.env("CUDA_HOME", self.path("toolkit")));
        let program = self.path(name);
        // Copied next to the old file and then renamed, because that one may be running.
        fs::copy(target.join("debug/program"), program.with_extension("new")).unwrap();
        fs::rename(program.with_extension("new"), &program).unwrap();
        program
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Leaves a file untouched if it already has this text, so that cargo does not rebuild.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(CRATE).join(format!("tests/standin/{name}.c"))
}

fn cc() -> Command {
    let mut cc = Command::new("cc");
    cc.args(["-fPIC", "-O1"]);
    cc
}

/// Returns what a command prints. The command must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
