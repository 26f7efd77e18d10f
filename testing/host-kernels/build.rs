//! Compiles the kernels with the C++ compiler, with a shim that defines CUDA's names.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=host");
    println!("cargo:rerun-if-changed=../../crates/cuda/kernels");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        // The tests process many millions of pixels, which takes too long at the profile's level.
        .opt_level(2)
        .include("../../crates/cuda/kernels")
        .include("host")
        // A multiplication and an addition are fused only where the source says fmaf.
        .flag_if_supported("-ffp-contract=off")
        // Wide accesses read and write bytes as words.
        .flag_if_supported("-fno-strict-aliasing")
        // A device may treat undefined behaviour differently: misaligned accesses, shifts by the width of a
        // word, and sums or conversions out of range. Here it ends the test.
        .flag_if_supported("-fsanitize=undefined,float-cast-overflow,float-divide-by-zero")
        .flag_if_supported("-fsanitize-undefined-trap-on-error")
        // `#pragma unroll` is meant for nvcc.
        .flag_if_supported("-Wno-unknown-pragmas")
        .file("host/launch.cpp")
        .compile("cutrickle_host_kernels");
}
