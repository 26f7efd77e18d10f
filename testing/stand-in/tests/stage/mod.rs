//! Opens the stand-in as a program would, and gives each test a process of its own, because an error on a
//! device lasts as long as the process.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::env;
use std::ffi::c_void;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use serde_json::Value;

/// The library that was built with this test.
pub fn library() -> PathBuf {
    let library = env::current_exe().unwrap().with_file_name("libcutrickle_stand_in.so");
    assert!(library.exists(), "{}", library.display());
    library
}

/// Names the test that this process was started for.
const CHILD: &str = "STAND_IN_TEST";

/// The outcome of a test's process.
pub struct Outcome {
    pub status: Option<i32>,
    pub stderr: String,
    /// The report that the stand-in wrote at the end.
    pub report: Value,
}

impl Outcome {
    pub fn calls(&self, name: &str) -> u64 {
        self.report["calls"][name].as_u64().unwrap_or(0)
    }

    /// The wrong uses, one per line.
    pub fn wrong(&self) -> String {
        let wrong = self.report["wrong"].as_array().unwrap();
        wrong.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
    }

    pub fn left(&self, what: &str) -> u64 {
        self.report["left"][what].as_u64().unwrap()
    }

    /// Asserts that the test succeeded, used nothing wrongly and left nothing open.
    #[track_caller]
    pub fn is_clean(&self) {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        assert_eq!(self.wrong(), "");
        let left = self.report["left"].as_object().unwrap();
        assert!(left.values().all(|number| number == 0), "{left:?}");
    }
}

/// Runs the body in a process of its own, with these environment variables, and returns the outcome.
///
/// The test called `name` calls this, which starts that same test again in a new process. There it runs the
/// body and ends the process.
#[track_caller]
pub fn alone(name: &str, variables: &[(&str, &str)], body: impl FnOnce()) -> Outcome {
    if env::var(CHILD).is_ok_and(|test| test == name) {
        body();
        std::process::exit(0);
    }
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let report = env::temp_dir().join(format!("stand-in-{}-{number}.json", std::process::id()));
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, name).env("STAND_IN_REPORT", &report);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    std::fs::remove_file(&report).unwrap();
    Outcome { status: output.status.code(), stderr, report: serde_json::from_str(&text).unwrap() }
}

/// Opens the library for the rest of the process.
pub fn open() -> Library {
    // SAFETY: opening the library runs only what every Rust library runs.
    unsafe { Library::open(Some(library()), RTLD_NOW | RTLD_GLOBAL) }.unwrap()
}

macro_rules! functions {
    ($name:ident: $(fn $function:ident($($argument:ident: $type:ty),*);)*) => {
        pub struct $name(pub libloading::os::unix::Library);

        impl $name {
            $(#[allow(non_snake_case, clippy::too_many_arguments, reason = "C's name and arguments")]
            pub fn $function(&self, $($argument: $type),*) -> i32 {
                // SAFETY: the signature is the documented one, and the pointers are the test's own.
                unsafe {
                    let function: libloading::os::unix::Symbol<unsafe extern "C" fn($($type),*) -> i32> =
                        self.0.get(concat!(stringify!($function), "\0").as_bytes()).unwrap();
                    function($($argument),*)
                }
            })*
        }
    };
}
#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use functions;

pub type Handle = usize;

functions! { Cuda:
    fn cuInit(flags: u32);
    fn cuDeviceGetCount(count: *mut i32);
    fn cuDeviceGet(device: *mut i32, ordinal: i32);
    fn cuDeviceGetAttribute(value: *mut i32, which: i32, device: i32);
    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: i32);
    fn cuDevicePrimaryCtxRelease_v2(device: i32);
    fn cuCtxSetCurrent(context: Handle);
    fn cuCtxGetCurrent(context: *mut Handle);
    fn cuCtxSynchronize();
    fn cuStreamCreate(stream: *mut Handle, flags: u32);
    fn cuStreamDestroy_v2(stream: Handle);
    fn cuStreamSynchronize(stream: Handle);
    fn cuStreamQuery(stream: Handle);
    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32);
    fn cuLaunchHostFunc(stream: Handle, function: extern "C" fn(*mut c_void), data: *mut c_void);
    fn cuEventCreate(event: *mut Handle, flags: u32);
    fn cuEventDestroy_v2(event: Handle);
    fn cuEventRecord(event: Handle, stream: Handle);
    fn cuEventQuery(event: Handle);
    fn cuEventSynchronize(event: Handle);
    fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle);
    fn cuMemAlloc_v2(address: *mut u64, size: usize);
    fn cuMemFree_v2(address: u64);
    fn cuMemAllocAsync(address: *mut u64, size: usize, stream: Handle);
    fn cuMemFreeAsync(address: u64, stream: Handle);
    fn cuMemHostAlloc(at: *mut *mut u8, size: usize, flags: u32);
    fn cuMemFreeHost(at: *mut u8);
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, size: usize, stream: Handle);
    fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, size: usize, stream: Handle);
    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, size: usize, stream: Handle);
    fn cuMemcpyHtoD_v2(to: u64, from: *const u8, size: usize);
    fn cuMemsetD8Async(to: u64, value: u8, size: usize, stream: Handle);
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
    fn cuModuleLoadData(module: *mut Handle, image: *const u8);
    fn cuModuleUnload(module: Handle);
    fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const u8);
    fn cuLaunchKernel(
        function: Handle, bx: u32, by: u32, bz: u32, tx: u32, ty: u32, tz: u32, shared: u32, stream: Handle,
        parameters: *const *const c_void, extra: usize
    );
    fn standInCalls(name: *const u8);
    fn standInWrongUses();
    fn cuGraphCreate(graph: *mut Handle, flags: u32);
    fn cublasCreate_v2(handle: *mut Handle);
    fn cublasSetStream_v2(handle: Handle, stream: Handle);
    fn cublasDestroy_v2(handle: Handle);
    fn curandCreateGenerator(generator: *mut Handle, kind: i32);
    fn curandSetStream(generator: Handle, stream: Handle);
    fn curandSetPseudoRandomGeneratorSeed(generator: Handle, seed: u64);
    fn curandDestroyGenerator(generator: Handle);
}

#[track_caller]
pub fn ok(status: i32) {
    assert_eq!(status, 0);
}

/// The value that a function writes to the pointer it is given.
#[track_caller]
pub fn made<T: Default>(call: impl FnOnce(*mut T) -> i32) -> T {
    let mut value = T::default();
    ok(call(&raw mut value));
    value
}

impl Cuda {
    /// The driver with the first device's context current.
    pub fn ready() -> Self {
        let cuda = Self(open());
        ok(cuda.cuInit(0));
        let context = made(|context| cuda.cuDevicePrimaryCtxRetain(context, 0));
        ok(cuda.cuCtxSetCurrent(context));
        cuda
    }

    pub fn stream(&self) -> Handle {
        made(|stream| self.cuStreamCreate(stream, 1))
    }

    pub fn event(&self) -> Handle {
        made(|event| self.cuEventCreate(event, 2))
    }

    pub fn memory(&self, size: usize) -> u64 {
        made(|address| self.cuMemAlloc_v2(address, size))
    }

    pub fn pinned(&self, size: usize) -> &'static mut [u8] {
        let mut at = ptr::null_mut();
        ok(self.cuMemHostAlloc(&raw mut at, size, 0));
        // SAFETY: the memory was just allocated, and the test does not use it after freeing it.
        unsafe { std::slice::from_raw_parts_mut(at, size) }
    }

    /// The contents of device memory at this point in the stream.
    #[track_caller]
    pub fn read(&self, address: u64, size: usize, stream: Handle) -> Vec<u8> {
        let mut bytes = vec![0; size];
        ok(self.cuMemcpyDtoHAsync_v2(bytes.as_mut_ptr(), address, size, stream));
        bytes
    }

    #[track_caller]
    pub fn write(&self, address: u64, bytes: &[u8], stream: Handle) {
        ok(self.cuMemcpyHtoDAsync_v2(address, bytes.as_ptr(), bytes.len(), stream));
    }

    /// Releases what `ready` acquired.
    pub fn close(&self) {
        ok(self.cuDevicePrimaryCtxRelease_v2(0));
    }
}
