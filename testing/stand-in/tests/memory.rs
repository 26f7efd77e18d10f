//! Device memory: every range that is touched has to lie in a live allocation, and nothing works by accident.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use stage::{Cuda, alone, made, ok};

const ILLEGAL_ADDRESS: i32 = 700;

#[test]
fn bytes_come_back_as_they_went_and_nothing_is_left() {
    alone("bytes_come_back_as_they_went_and_nothing_is_left", &[("STAND_IN_STRICT_EXIT", "1")], || {
        let cuda = Cuda::ready();
        let (stream, from, to) = (cuda.stream(), cuda.memory(1000), cuda.memory(1000));
        let sent: Vec<u8> = (0..1000).map(|n| (n * 7) as u8).collect();
        cuda.write(from, &sent, stream);
        ok(cuda.cuMemcpyDtoDAsync_v2(to + 1, from, 999, stream));
        assert_eq!(cuda.read(to + 1, 999, stream), sent[..999]);
        ok(cuda.cuMemFree_v2(from));
        ok(cuda.cuMemFree_v2(to));
        ok(cuda.cuStreamDestroy_v2(stream));
        cuda.close();
    })
    .is_clean();
}

#[test]
fn new_memory_is_neither_zero_nor_what_was_there_before() {
    alone("new_memory_is_neither_zero_nor_what_was_there_before", &[], || {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        let address = cuda.memory(64);
        assert_eq!(cuda.read(address, 64, stream), [0xDB; 64]);
        cuda.write(address, &[1; 64], stream);
        ok(cuda.cuMemFree_v2(address));
        let again = cuda.memory(64);
        assert_ne!(address, again);
        assert_eq!(cuda.read(again, 64, stream), [0xDB; 64]);
    });
}

/// Asserts that the work fails with an illegal address, and is reported with the words `said`.
#[track_caller]
fn is_illegal(name: &str, said: &str, work: impl FnOnce(&Cuda, usize)) {
    let outcome = alone(name, &[], || {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        work(&cuda, stream);
        assert_eq!(cuda.cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
        // The error stays.
        assert_eq!(cuda.cuMemGetInfo_v2(&mut 0, &mut 0), ILLEGAL_ADDRESS);
        assert_eq!(cuda.cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.wrong().contains(said), "{}", outcome.wrong());
    assert!(outcome.stderr.contains("STAND_IN_SEED="), "{}", outcome.stderr);
}

#[test]
fn one_byte_too_many_is_found() {
    is_illegal("one_byte_too_many_is_found", "beyond the end of 100 bytes", |cuda, stream| {
        ok(cuda.cuMemsetD8Async(cuda.memory(100), 0, 101, stream));
    });
}

#[test]
fn a_range_behind_an_allocation_is_found() {
    is_illegal("a_range_behind_an_allocation_is_found", "not allocated; 100 bytes", |cuda, stream| {
        ok(cuda.cuMemsetD8Async(cuda.memory(100) + 100, 0, 1, stream));
    });
}

#[test]
fn host_memory_is_no_device_memory() {
    is_illegal("host_memory_is_no_device_memory", "no device memory", |cuda, stream| {
        let host = [0u8; 8];
        ok(cuda.cuMemcpyDtoDAsync_v2(cuda.memory(8), host.as_ptr().addr() as u64, 8, stream));
    });
}

#[test]
fn memory_that_was_freed_is_found() {
    is_illegal("memory_that_was_freed_is_found", "used after it was freed", |cuda, stream| {
        let address = made(|address| cuda.cuMemAllocAsync(address, 100, stream));
        ok(cuda.cuMemFreeAsync(address, stream));
        ok(cuda.cuMemsetD8Async(address, 0, 100, stream));
    });
}

#[test]
fn memory_is_not_there_before_its_stream_has_come_to_it() {
    let name = "memory_is_not_there_before_its_stream_has_come_to_it";
    is_illegal(name, "before the stream that allocates it", |cuda, stream| {
        // The stream that allocates is waiting for another one, which is held up.
        let (held, event) = (cuda.stream(), cuda.event());
        hold(cuda, held);
        ok(cuda.cuEventRecord(event, held));
        let other = cuda.stream();
        ok(cuda.cuStreamWaitEvent(other, event, 0));
        let address = made(|address| cuda.cuMemAllocAsync(address, 100, other));
        ok(cuda.cuMemsetD8Async(address, 0, 100, stream));
        cuda.cuStreamSynchronize(stream);
        RELEASED.wait();
    });
}

static RELEASED: std::sync::LazyLock<std::sync::Barrier> =
    std::sync::LazyLock::new(|| std::sync::Barrier::new(2));

extern "C" fn wait_for_release(_: *mut std::ffi::c_void) {
    RELEASED.wait();
    RELEASED.wait();
}

/// Holds a stream up until somebody else waits for `RELEASED`.
///
/// On return the stream has begun to wait. If it had not, an error on the device would make it drop the wait.
fn hold(cuda: &Cuda, stream: usize) {
    ok(cuda.cuLaunchHostFunc(stream, wait_for_release, std::ptr::null_mut()));
    RELEASED.wait();
}

#[test]
fn freeing_twice_or_what_was_never_allocated_is_refused() {
    let outcome = alone("freeing_twice_or_what_was_never_allocated_is_refused", &[], || {
        let cuda = Cuda::ready();
        let (stream, address) = (cuda.stream(), cuda.memory(100));
        assert_eq!(cuda.cuMemFree_v2(address + 4), 1);
        ok(cuda.cuMemFreeAsync(address, stream));
        assert_eq!(cuda.cuMemFreeAsync(address, stream), 1);
        assert_eq!(cuda.cuMemFree_v2(address), 1);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.wrong().lines().count(), 3, "{}", outcome.wrong());
}

/// Host code that follows a device address crashes, as with a real device.
#[test]
fn a_device_address_leads_the_host_nowhere() {
    let name = "a_device_address_leads_the_host_nowhere";
    if std::env::var("STAND_IN_TEST").is_ok_and(|test| test == name) {
        let address = Cuda::ready().memory(100);
        // SAFETY: there is none. The test is that this ends the process.
        let byte = unsafe { std::ptr::with_exposed_provenance::<u8>(address as usize).read_volatile() };
        panic!("read {byte}");
    }
    use std::os::unix::process::ExitStatusExt;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name]).env("STAND_IN_TEST", name).output().unwrap();
    // SIGSEGV.
    assert_eq!(output.status.signal(), Some(11), "{output:?}");
}

#[test]
fn a_device_has_so_much_memory_and_no_more() {
    alone("a_device_has_so_much_memory_and_no_more", &[("STAND_IN_MEMORY_MB", "1")], || {
        let cuda = Cuda::ready();
        let half = cuda.memory(512 << 10);
        assert_eq!(cuda.cuMemAlloc_v2(&mut 0, (512 << 10) + 1), 2);
        let (mut free, mut total) = (0, 0);
        ok(cuda.cuMemGetInfo_v2(&mut free, &mut total));
        assert_eq!((free, total), (512 << 10, 1 << 20));
        ok(cuda.cuMemFree_v2(half));
        ok(cuda.cuMemFree_v2(cuda.memory(1 << 20)));
        assert_eq!(cuda.cuMemAlloc_v2(&mut 0, 0), 1);
    });
}

#[test]
fn what_is_left_is_told_and_ends_the_process_where_that_is_asked() {
    let name = "what_is_left_is_told_and_ends_the_process_where_that_is_asked";
    let outcome = alone(name, &[("STAND_IN_STRICT_EXIT", "1")], || {
        let cuda = Cuda::ready();
        cuda.memory(100);
        cuda.pinned(100);
        cuda.stream();
        cuda.event();
    });
    assert_eq!(outcome.status, Some(86), "{}", outcome.stderr);
    for what in ["allocations", "pinned host allocations", "streams", "events"] {
        assert_eq!(outcome.left(what), 1, "{what}");
        assert!(outcome.stderr.contains(&format!("left at the end: 1 {what}")), "{}", outcome.stderr);
    }
}

#[test]
fn a_call_fails_where_it_is_told_to() {
    let settings = [("STAND_IN_FAIL", "cuMemAllocAsync:3=2,cuStreamSynchronize:1=719")];
    let outcome = alone("a_call_fails_where_it_is_told_to", &settings, || {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        let mut at = 0;
        let codes = [(); 4].map(|()| cuda.cuMemAllocAsync(&raw mut at, 8, stream));
        assert_eq!(codes, [0, 0, 2, 0]);
        assert_eq!(cuda.cuStreamSynchronize(stream), 719);
        assert_eq!(cuda.cuStreamSynchronize(stream), 0);
    });
    assert_eq!(outcome.calls("cuMemAllocAsync"), 4);
    assert_eq!(outcome.wrong(), "");
}
