//! With the feature `cuda`, on targets that have trampolines, builds the archives and adds them to the
//! linker's path. Otherwise it does nothing.

#[cfg(feature = "cuda")]
#[path = "build/archives.rs"]
mod archives;
#[cfg(feature = "cuda")]
#[path = "build/toolkit.rs"]
mod toolkit;

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    if let Err(why) = archives::make() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
