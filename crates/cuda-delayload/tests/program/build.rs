//! Links the CUDA runtime like `candle-kernels`, and adds the toolkit's folder of shared libraries to the
//! linker's path.

fn main() {
    println!("cargo:rustc-link-lib=dylib=cudart");
    println!("cargo:rustc-link-search=native={}/lib64", std::env::var("CUDA_HOME").unwrap());
}
