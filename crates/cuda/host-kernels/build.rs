//! Compiles the kernels with the C++ compiler, CUDA's names given by a shim.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=host");
    println!("cargo:rerun-if-changed=../../../kernels");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        // The tests go over many millions of pixels, so not at the profile's level.
        .opt_level(2)
        .include("../../../kernels")
        .include("host")
        // No product and sum become one but where the source says fmaf; wide accesses look at bytes as words.
        .flag_if_supported("-ffp-contract=off")
        .flag_if_supported("-fno-strict-aliasing")
        // `#pragma unroll` is for nvcc.
        .flag_if_supported("-Wno-unknown-pragmas")
        .file("host/launch.cpp")
        .compile("cutrickle_host_kernels");
}
