//! Says so when openh264 gets built without its assembly, which its own build script keeps to itself.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    let x86 = matches!(env::var("CARGO_CFG_TARGET_ARCH").as_deref(), Ok("x86" | "x86_64"));
    if !x86 {
        return;
    }
    if env::var_os("OPENH264_NO_ASM").is_some() {
        println!(
            "cargo:warning=OPENH264_NO_ASM is set: video is encoded without assembly, 2.6 times slower."
        );
    } else if !has_nasm() {
        println!(
            "cargo:warning=nasm was not found: video is encoded without assembly, 2.6 times slower. Install nasm, then \
             run `cargo clean -p openh264-sys2` and build again."
        );
    }
}

fn has_nasm() -> bool {
    Command::new("nasm")
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
