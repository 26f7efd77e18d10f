//! Asks for the CUDA runtime as `candle-kernels` does, and names the toolkit's folder with its shared libraries.

fn main() {
    println!("cargo:rustc-link-lib=dylib=cudart");
    println!("cargo:rustc-link-search=native={}/lib64", std::env::var("CUDA_HOME").unwrap());
}
