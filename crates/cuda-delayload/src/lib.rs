//! Lets a program that links CUDA start where there is none: the CUDA libraries are opened when a function of theirs
//! is first called, not when the program starts.
//!
//! There is no Rust in it. With the feature `cuda`, on Linux with glibc (x86-64 and 64-bit Arm), its build script
//! makes static libraries by the names that the linker is asked for (`-lcuda`, `-lcublas`, `-lcublasLt`,
//! `-lcurand`, `-lnvrtc`) and puts them before the toolkit's. They hold one trampoline for each function that the
//! crate `cudarc` may call. Where a library, or a function in it, is not there, the call returns that library's own
//! error:
//!
//! | library | not there | without that function |
//! | --- | --- | --- |
//! | libcuda | `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` | `CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND` |
//! | libcublas, libcublasLt | `CUBLAS_STATUS_NOT_INITIALIZED` | `CUBLAS_STATUS_NOT_SUPPORTED` |
//! | libcurand | `CURAND_STATUS_INITIALIZATION_FAILED` | the same |
//! | libnvrtc | `NVRTC_ERROR_INTERNAL_ERROR` | the same |
//!
//! `cuGetErrorString` then says what the dynamic loader said. A library that was missing once stays missing for the
//! life of the process.
#![forbid(unsafe_code)]
