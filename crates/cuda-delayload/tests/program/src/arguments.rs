//! Makes calls with arguments of every kind and in every place that the calling convention uses. The
//! stand-ins compare them with the expected values.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use cudarc::driver::sys::{self, CUresult};
use cudarc::{cublas, cublaslt, curand, nvrtc};

#[rustfmt::skip]
unsafe extern "C" {
    /// CUDA has no function with this many numbers. The stand-in provides one under this name.
    fn cuGraphDebugDotPrint(
        i0: i64, i1: i64, i2: i64, i3: i64, i4: i64, i5: i64, i6: i64, i7: i64, i8: i64, i9: i64,
        d0: f64, d1: f64, d2: f64, d3: f64, d4: f64, d5: f64, d6: f64, d7: f64, d8: f64, d9: f64,
    ) -> i32;
}

/// The first call is resolved, and the second one is direct.
pub fn all() {
    for call in ["first", "second"] {
        launch();
        numbers();
        floats();
        others();
        println!("{call}: all intact");
    }
}

/// Six integers in registers and five on the stack, some of 4 bytes and some of 8.
#[rustfmt::skip]
pub fn launch() {
    let pointer = |address: usize| ptr::without_provenance_mut::<c_void>(address);
    let result = unsafe {
        sys::cuLaunchKernel(
            pointer(0x1111_2222_3333_4444).cast(),
            2, 3, 4, 5, 6, 7, 8,
            pointer(0x5555_6666_7777_8888).cast(),
            pointer(0x9999_aaaa_bbbb_cccc).cast(),
            pointer(0xdddd_eeee_ffff_0001).cast(),
        )
    };
    assert_eq!(result, CUresult::CUDA_SUCCESS);
}

/// Integers and doubles in all registers, and both on the stack, with a result that is not a status.
#[rustfmt::skip]
pub fn numbers() {
    let result = unsafe {
        cuGraphDebugDotPrint(
            -1, -2, -3, -4, -5, -6, -7, -8, -9, -10,
            0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5,
        )
    };
    assert_eq!(result, -77);
}

fn floats() {
    let result = unsafe { sys::cuTexRefSetMipmapLevelClamp(ptr::without_provenance_mut(0x10), -1.25, 1e-38) };
    assert_eq!(result, CUresult::CUDA_SUCCESS);

    let mut out = [0.0; 2];
    let generator = ptr::without_provenance_mut(0x20);
    let result =
        unsafe { curand::sys::curandGenerateNormalDouble(generator, out.as_mut_ptr(), 2, 0.1, -1e300) };
    assert_eq!(result, curand::sys::curandStatus_t::CURAND_STATUS_SUCCESS);
    assert_eq!(out, [0.1, -1e300], "what the library writes through a pointer");
}

fn others() {
    let (alpha, beta) = (1.5, -0.5);
    let handle = ptr::without_provenance_mut(0x30);
    let matrix = ptr::without_provenance_mut(0x40);
    let as_is = cublas::sys::cublasOperation_t::CUBLAS_OP_N;
    let result = unsafe {
        cublas::sys::cublasSgemm_v2(
            handle, as_is, as_is, 1, 2, 3, &alpha, matrix, 4, matrix, 5, &beta, matrix, 6,
        )
    };
    // The stand-in returns a status that nothing else here returns.
    assert_eq!(result, cublas::sys::cublasStatus_t::CUBLAS_STATUS_MAPPING_ERROR);
    assert_eq!(unsafe { cublaslt::sys::cublasLtGetVersion() }, 0x1234_5678_9abc_de00 + 12);
    let string = unsafe { nvrtc::sys::nvrtcGetErrorString(nvrtc::sys::nvrtcResult::NVRTC_ERROR_COMPILATION) };
    assert_eq!(text(string), "error 6 of the stand-in");
}

pub fn text(string: *const c_char) -> String {
    assert!(!string.is_null());
    unsafe { CStr::from_ptr(string) }.to_str().unwrap().to_owned()
}
