//! The parts of cuBLAS, cuRAND and NVRTC that candle needs to open a device.
//!
//! Handles are created, given a stream and destroyed, but nothing is computed or compiled.

use std::ffi::{c_char, c_int, c_ulonglong};
use std::sync::{Arc, Mutex};

use crate::call;
use crate::driver::{context, stream};
use crate::pointer::Out;
use crate::report;
use crate::status::Answer;
use crate::table::{Handle, Table, lock};

/// What a handle of either library stands for.
#[derive(Default)]
struct Library {
    stream: Mutex<Handle>,
}

static BLAS: Table<Library> = Table::new();
static GENERATORS: Table<Library> = Table::new();

/// How many handles have not been destroyed.
pub(crate) fn left() -> [(&'static str, usize); 2] {
    [("cuBLAS handles", BLAS.len()), ("cuRAND generators", GENERATORS.len())]
}

/// A library's own status codes.
struct Codes {
    not_initialised: i32,
    no_handle: i32,
}

/// `cublasStatus_t`: NOT_INITIALIZED covers both.
const OF_BLAS: Codes = Codes { not_initialised: 1, no_handle: 1 };
/// `curandStatus_t`: INITIALIZATION_FAILED and NOT_INITIALIZED.
const OF_RAND: Codes = Codes { not_initialised: 203, no_handle: 101 };

fn create(name: &'static str, table: &Table<Library>, to: Out<Handle>, codes: &Codes) -> i32 {
    if let Err(status) = call::admit(name) {
        return status.0;
    }
    let ready = || -> Answer {
        context::current()?.check()?;
        to.put(table.insert(Arc::default()))
    };
    if ready().is_ok() { 0 } else { codes.not_initialised }
}

fn with(
    name: &'static str,
    table: &Table<Library>,
    of: Handle,
    codes: &Codes,
    then: impl FnOnce(&Library) -> i32,
) -> i32 {
    if let Err(status) = call::admit(name) {
        return status.0;
    }
    match table.get(of) {
        Some(library) => then(&library),
        None => {
            report::wrong(name, "there is no such handle");
            codes.no_handle
        }
    }
}

fn set_stream(name: &'static str, library: &Library, to: Handle, code: i32) -> i32 {
    if stream::find(name, to).is_err() {
        return code;
    }
    *lock(&library.stream) = to;
    0
}

fn destroy(name: &'static str, table: &Table<Library>, of: Handle, codes: &Codes) -> i32 {
    with(name, table, of, codes, |_| {
        table.remove(of);
        0
    })
}

/// Defines functions with C's names that return a library's own status.
macro_rules! entries {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $returns:ty $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "C's name")]
        extern "C" fn $name($($argument: $type),*) -> $returns $body
    )*};
}

entries! {
    fn cublasCreate_v2(handle: Out<Handle>) -> i32 { create("cublasCreate_v2", &BLAS, handle, &OF_BLAS) }

    fn cublasDestroy_v2(handle: Handle) -> i32 { destroy("cublasDestroy_v2", &BLAS, handle, &OF_BLAS) }

    fn cublasSetStream_v2(handle: Handle, stream: Handle) -> i32 {
        // CUBLAS_STATUS_INVALID_VALUE
        let name = "cublasSetStream_v2";
        with(name, &BLAS, handle, &OF_BLAS, |blas| set_stream(name, blas, stream, 7))
    }

    fn cublasGetStream_v2(handle: Handle, stream: Out<Handle>) -> i32 {
        with("cublasGetStream_v2", &BLAS, handle, &OF_BLAS, |blas| {
            stream.put_if_wanted(*lock(&blas.stream));
            0
        })
    }

    fn cublasGetStatusName(_status: c_int) -> *const c_char { c"CUBLAS_STATUS of the stand-in".as_ptr() }

    fn cublasGetStatusString(_status: c_int) -> *const c_char { c"status of the stand-in's cuBLAS".as_ptr() }

    fn curandCreateGenerator(generator: Out<Handle>, _kind: c_int) -> i32 {
        create("curandCreateGenerator", &GENERATORS, generator, &OF_RAND)
    }

    fn curandDestroyGenerator(generator: Handle) -> i32 {
        destroy("curandDestroyGenerator", &GENERATORS, generator, &OF_RAND)
    }

    fn curandSetStream(generator: Handle, stream: Handle) -> i32 {
        // CURAND_STATUS_TYPE_ERROR
        let name = "curandSetStream";
        with(name, &GENERATORS, generator, &OF_RAND, |rand| set_stream(name, rand, stream, 103))
    }

    fn curandSetPseudoRandomGeneratorSeed(generator: Handle, _seed: c_ulonglong) -> i32 {
        with("curandSetPseudoRandomGeneratorSeed", &GENERATORS, generator, &OF_RAND, |_| 0)
    }

    fn curandSetGeneratorOffset(generator: Handle, _offset: c_ulonglong) -> i32 {
        with("curandSetGeneratorOffset", &GENERATORS, generator, &OF_RAND, |_| 0)
    }

    fn nvrtcGetErrorString(_result: c_int) -> *const c_char { c"the stand-in compiles nothing".as_ptr() }
}
