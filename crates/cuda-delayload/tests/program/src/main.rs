//! Calls the CUDA libraries through `cudarc` and prints the results, one line per call.

mod arguments;

use std::sync::Barrier;

use cudarc::driver::{CudaContext, DriverError, sys};
use cudarc::{cublas, cublaslt, curand, nvrtc};

unsafe extern "C" {
    // The only function of the stand-in for the CUDA runtime.
    fn cudaRuntimeGetVersion(version: *mut i32) -> i32;
}

fn main() {
    let what = std::env::args().nth(1);
    match what.as_deref() {
        Some("five") => five(),
        Some("arguments") => arguments::all(),
        Some("lacking") => lacking(),
        Some("threads") => threads(),
        _ => println!("started"),
    }
}

/// Calls the function of each library that programs usually call first.
fn five() {
    println!("cuda: {:?}", CudaContext::new(0).map(drop));
    println!("cublas: {:?}", cublas::result::create_handle().map(drop));
    println!("cublasLt: {:?}", cublaslt::result::create_handle().map(drop));
    println!("curand: {:?}", curand::result::create_generator().map(drop));
    println!("nvrtc: {:?}", nvrtc::compile_ptx("").map(drop));

    // Functions whose result is not a status.
    let error = DriverError(sys::CUresult::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED);
    println!("cuGetErrorName: {:?}", error.error_name());
    let status = cublas::sys::cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED;
    println!("cublasGetStatusName: {}", arguments::text(unsafe { cublas::sys::cublasGetStatusName(status) }));
    let status = cublaslt::sys::cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED;
    println!(
        "cublasLtGetStatusName: {}",
        arguments::text(unsafe { cublaslt::sys::cublasLtGetStatusName(status) })
    );
    let result = nvrtc::sys::nvrtcResult::NVRTC_ERROR_INTERNAL_ERROR;
    println!("nvrtcGetErrorString: {}", arguments::text(unsafe { nvrtc::sys::nvrtcGetErrorString(result) }));
    println!("cublasGetCudartVersion: {}", unsafe { cublas::sys::cublasGetCudartVersion() });
    println!("cublasLtGetVersion: {}", unsafe { cublaslt::sys::cublasLtGetVersion() });
    unsafe { cublas::sys::cublasXerbla(c"".as_ptr(), 0) };

    let mut version = 0;
    let status = unsafe { cudaRuntimeGetVersion(&mut version) };
    println!("cudaRuntimeGetVersion: {status} {version}");
}

/// Calls functions that the stand-ins do not have. The second call takes the path of a resolved function.
fn lacking() {
    for _ in 0..2 {
        println!("cuda: {:?}", unsafe { sys::cuDeviceGetCount(&mut 0) });
        println!("curand: {:?}", unsafe { curand::sys::curandGetVersion(&mut 0) });
    }
}

/// Makes first calls from many threads at once.
fn threads() {
    const THREADS: usize = 16;
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                arguments::launch();
                arguments::numbers();
            });
        }
    });
    println!("all intact");
}
