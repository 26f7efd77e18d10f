//! Lets a program that links CUDA start on a machine without it. The CUDA libraries are opened when one of
//! their functions is first called, instead of when the program starts.
//!
//! This crate contains no Rust code. With the feature `cuda`, on Linux with glibc (x86-64 and 64-bit Arm),
//! its build script creates static libraries with the names that the linker looks for (`-lcuda`, `-lcublas`,
//! `-lcublasLt`, `-lcurand`, `-lnvrtc`) and places them before the toolkit's. They contain one trampoline for
//! each function that the crate `cudarc` may call. If a library or one of its functions is missing, the call
//! returns that library's own error:
//!
//! | library | library missing | function missing |
//! | --- | --- | --- |
//! | libcuda | `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` | `CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND` |
//! | libcublas, libcublasLt | `CUBLAS_STATUS_NOT_INITIALIZED` | `CUBLAS_STATUS_NOT_SUPPORTED` |
//! | libcurand | `CURAND_STATUS_INITIALIZATION_FAILED` | the same |
//! | libnvrtc | `NVRTC_ERROR_INTERNAL_ERROR` | the same |
//!
//! `cuGetErrorString` then returns the dynamic loader's message. A library that was missing once remains
//! missing for the life of the process.
#![forbid(unsafe_code)]
