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
        // What C++ leaves open the device may answer otherwise: a misaligned access, a shift by a word's width, a sum or
        // a conversion out of range. Here it ends the test.
        .flag_if_supported("-fsanitize=undefined,float-cast-overflow,float-divide-by-zero")
        .flag_if_supported("-fsanitize-undefined-trap-on-error")
        // `#pragma unroll` is for nvcc.
        .flag_if_supported("-Wno-unknown-pragmas")
        .file("host/launch.cpp")
        .compile("cutrickle_host_kernels");
}
