//! The rules for using the driver. Each is broken once, and the call is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::ffi::c_void;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicI32, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use stage::{Cuda, alone, library, made, ok, open};

const NOT_INITIALIZED: i32 = 3;
const INVALID_CONTEXT: i32 = 201;
const INVALID_HANDLE: i32 = 400;
const NOT_PERMITTED: i32 = 800;
const NOT_SUPPORTED: i32 = 801;

#[test]
fn nothing_works_before_the_driver_is_initialised_nor_without_a_context() {
    let name = "nothing_works_before_the_driver_is_initialised_nor_without_a_context";
    let outcome = alone(name, &[], || {
        let cuda = Cuda(open());
        assert_eq!(cuda.cuDeviceGetCount(&mut 0), NOT_INITIALIZED);
        assert_eq!(cuda.cuStreamCreate(&mut 0, 1), NOT_INITIALIZED);
        ok(cuda.cuInit(0));
        assert_eq!(made(|count| cuda.cuDeviceGetCount(count)), 1);
        assert_eq!(cuda.cuStreamCreate(&mut 0, 1), INVALID_CONTEXT);
        let context = made(|context| cuda.cuDevicePrimaryCtxRetain(context, 0));
        ok(cuda.cuCtxSetCurrent(context));
        made(|stream| cuda.cuStreamCreate(stream, 1));
        // Each thread has its own current context.
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(cuda.cuMemAlloc_v2(&mut 0, 8), INVALID_CONTEXT));
        });
        cuda.close();
        assert_eq!(cuda.cuMemAlloc_v2(&mut 0, 8), 709);
        assert_eq!(cuda.cuDevicePrimaryCtxRelease_v2(0), INVALID_CONTEXT);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn the_null_stream_takes_no_work() {
    let outcome = alone("the_null_stream_takes_no_work", &[], || {
        let cuda = Cuda::ready();
        let (memory, event) = (cuda.memory(8), cuda.event());
        // These are NULL, the legacy stream and the per-thread stream.
        for stream in [0, 1, 2] {
            assert_eq!(cuda.cuMemsetD8Async(memory, 0, 8, stream), NOT_PERMITTED);
            assert_eq!(cuda.cuMemAllocAsync(&mut 0, 8, stream), NOT_PERMITTED);
            assert_eq!(cuda.cuEventRecord(event, stream), NOT_PERMITTED);
            assert_eq!(cuda.cuStreamSynchronize(stream), NOT_PERMITTED);
        }
        // Calls without a stream argument use the NULL stream.
        assert_eq!(cuda.cuMemcpyHtoD_v2(memory, [0; 8].as_ptr(), 8), NOT_PERMITTED);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.wrong().lines().count(), 13, "{}", outcome.wrong());
}

#[test]
fn a_handle_is_good_for_its_kind_and_its_life() {
    let outcome = alone("a_handle_is_good_for_its_kind_and_its_life", &[], || {
        let cuda = Cuda::ready();
        let (stream, event) = (cuda.stream(), cuda.event());
        assert_eq!(cuda.cuEventRecord(stream, stream), INVALID_HANDLE);
        assert_eq!(cuda.cuStreamSynchronize(event), INVALID_HANDLE);
        ok(cuda.cuStreamDestroy_v2(stream));
        assert_eq!(cuda.cuStreamDestroy_v2(stream), INVALID_HANDLE);
        ok(cuda.cuEventDestroy_v2(event));
        assert_eq!(cuda.cuEventQuery(event), INVALID_HANDLE);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

/// What the driver returned to the call in the host function.
static ANSWER: AtomicI32 = AtomicI32::new(0);

extern "C" fn calls_the_driver(cuda: *mut c_void) {
    // SAFETY: this is the test's driver, which lives until the stream has got here.
    let cuda = unsafe { &*cuda.cast::<Cuda>() };
    ANSWER.store(cuda.cuMemAlloc_v2(&mut 0, 8), Ordering::Relaxed);
}

#[test]
fn a_host_function_does_not_call_the_driver() {
    let outcome = alone("a_host_function_does_not_call_the_driver", &[], || {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        ok(cuda.cuLaunchHostFunc(stream, calls_the_driver, (&raw const cuda).cast_mut().cast()));
        ok(cuda.cuStreamSynchronize(stream));
        assert_eq!(ANSWER.load(Ordering::Relaxed), NOT_PERMITTED);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn a_function_that_is_not_implemented_says_so() {
    let outcome = alone("a_function_that_is_not_implemented_says_so", &[], || {
        let cuda = Cuda::ready();
        assert_eq!(cuda.standInWrongUses(), 0);
        assert_eq!(cuda.cuGraphCreate(&mut 0, 0), NOT_SUPPORTED);
        assert_eq!(cuda.standInWrongUses(), 1);
        assert_eq!(cuda.standInCalls(c"cuGraphCreate".as_ptr().cast()), 1);
        assert_eq!(cuda.standInCalls(c"cuGraphDestroy".as_ptr().cast()), 0);
    });
    assert_eq!(outcome.wrong(), "cuGraphCreate: the stand-in does not implement it\n");
}

#[test]
fn as_many_devices_as_are_asked_for() {
    alone(
        "as_many_devices_as_are_asked_for",
        &[("STAND_IN_DEVICES", "2"), ("STAND_IN_CAPABILITY", "12.0")],
        || {
            let cuda = Cuda::ready();
            assert_eq!(made(|count| cuda.cuDeviceGetCount(count)), 2);
            assert_eq!(made(|value| cuda.cuDeviceGetAttribute(value, 75, 1)), 12);
            assert_eq!(cuda.cuDeviceGet(&mut 0, 2), 101);
            // The devices do not share memory or streams.
            let (memory, first) = (cuda.memory(8), cuda.stream());
            let context = made(|context| cuda.cuDevicePrimaryCtxRetain(context, 1));
            ok(cuda.cuCtxSetCurrent(context));
            assert_eq!(cuda.cuStreamSynchronize(first), INVALID_CONTEXT);
            let second = cuda.stream();
            ok(cuda.cuMemsetD8Async(memory, 0, 8, second));
            assert_eq!(cuda.cuStreamSynchronize(second), 700);
        },
    );
}

#[test]
fn without_a_device_the_driver_is_there_and_says_so() {
    let outcome =
        alone("without_a_device_the_driver_is_there_and_says_so", &[("STAND_IN_DEVICES", "0")], || {
            assert_eq!(Cuda(open()).cuInit(0), 100);
        });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

/// Links with the libraries' names open one library with one state.
#[test]
fn links_to_it_share_one_state() {
    let outcome = alone("links_to_it_share_one_state", &[], || {
        let folder = std::env::temp_dir().join(format!("stand-in-links-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let link = |name: &str| {
            symlink(library(), folder.join(name)).unwrap();
            // SAFETY: opening the library runs only what every Rust library runs.
            Cuda(unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_LOCAL) }.unwrap())
        };
        let (cuda, blas) = (link("libcuda.so.1"), link("libcublas.so.12"));
        std::fs::remove_dir_all(&folder).unwrap();
        ok(cuda.cuInit(0));
        let context = made(|context| cuda.cuDevicePrimaryCtxRetain(context, 0));
        // It needs the context of the other library.
        assert_eq!(blas.cublasCreate_v2(&mut 0), 1);
        ok(cuda.cuCtxSetCurrent(context));
        let handle = made(|handle| blas.cublasCreate_v2(handle));
        let stream = cuda.stream();
        ok(blas.cublasSetStream_v2(handle, stream));
        assert_eq!(blas.cublasSetStream_v2(handle, 0), 7);
        ok(blas.cublasDestroy_v2(handle));
        let generator = made(|generator| blas.curandCreateGenerator(generator, 100));
        ok(blas.curandSetStream(generator, stream));
        ok(blas.curandSetPseudoRandomGeneratorSeed(generator, 7));
        ok(blas.curandDestroyGenerator(generator));
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}
