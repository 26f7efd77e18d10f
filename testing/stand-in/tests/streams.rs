//! Streams: ordered work always runs in order, and work without an order always goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::ffi::c_void;

use stage::{Cuda, alone, made, ok};

/// Fills a frame row by row on one stream and downloads it on another, with or without an event between them.
/// Returns whether the download always had the contents that were filled in.
fn handed_over(cuda: &Cuda, with_event: bool) -> bool {
    const SIZE: usize = 4096;
    let (writer, reader, event) = (cuda.stream(), cuda.stream(), cuda.event());
    let memory = cuda.memory(SIZE);
    let down = cuda.pinned(SIZE);
    let mut good = true;
    for round in 1..=16u8 {
        for row in 0..8 {
            ok(cuda.cuMemsetD8Async(memory + row * 512, round, 512, writer));
        }
        if with_event {
            ok(cuda.cuEventRecord(event, writer));
            ok(cuda.cuStreamWaitEvent(reader, event, 0));
        }
        ok(cuda.cuMemcpyDtoHAsync_v2(down.as_mut_ptr(), memory, SIZE, reader));
        ok(cuda.cuStreamSynchronize(reader));
        good &= down.iter().all(|byte| *byte == round);
    }
    ok(cuda.cuMemFreeHost(down.as_mut_ptr()));
    good
}

#[test]
fn with_an_event_another_stream_sees_what_was_written() {
    for seed in ["1", "2", "3", "4"] {
        let name = "with_an_event_another_stream_sees_what_was_written";
        let outcome = alone(name, &[("STAND_IN_SEED", seed)], || {
            assert!(handed_over(&Cuda::ready(), true));
        });
        assert_eq!(outcome.status, Some(0), "seed {seed}: {}", outcome.stderr);
    }
}

#[test]
fn without_the_event_it_sees_something_else_whatever_the_seed() {
    for seed in ["1", "2", "3", "4"] {
        let name = "without_the_event_it_sees_something_else_whatever_the_seed";
        let outcome = alone(name, &[("STAND_IN_SEED", seed)], || {
            assert!(!handed_over(&Cuda::ready(), false));
        });
        assert_eq!(outcome.status, Some(0), "seed {seed}: {}", outcome.stderr);
    }
}

#[test]
fn memory_freed_while_another_stream_reads_it_is_found() {
    for seed in ["1", "2", "3", "4"] {
        let name = "memory_freed_while_another_stream_reads_it_is_found";
        let outcome = alone(name, &[("STAND_IN_SEED", seed)], || {
            let cuda = Cuda::ready();
            let (owner, reader, target) = (cuda.stream(), cuda.stream(), cuda.memory(512));
            for _ in 0..64 {
                let mut memory = 0;
                // Nothing works any more once the error has happened.
                if cuda.cuMemAllocAsync(&raw mut memory, 512, owner) != 0 {
                    break;
                }
                cuda.cuStreamSynchronize(owner);
                cuda.cuMemcpyDtoDAsync_v2(target, memory, 512, reader);
                cuda.cuMemFreeAsync(memory, owner);
            }
            assert_eq!(cuda.cuCtxSynchronize(), 700);
        });
        assert_eq!(outcome.status, Some(0), "seed {seed}: {}", outcome.stderr);
        assert!(outcome.wrong().contains("used after it was freed"), "{}", outcome.wrong());
    }
}

/// Pinned memory is read when the stream comes to it, pageable memory before the call returns.
#[test]
fn only_pageable_memory_may_be_changed_behind_an_asynchronous_copy() {
    let name = "only_pageable_memory_may_be_changed_behind_an_asynchronous_copy";
    let outcome = alone(name, &[], || {
        let cuda = Cuda::ready();
        let (stream, memory) = (cuda.stream(), cuda.memory(8));
        let mut pageable = [1u8; 8];
        cuda.write(memory, &pageable, stream);
        pageable.fill(2);
        assert_eq!(cuda.read(memory, 8, stream), [1; 8]);
        assert_eq!(pageable, [2; 8]);

        let pinned = cuda.pinned(8);
        pinned.fill(3);
        // The stream waits until the host has changed what it will copy.
        ok(cuda.cuLaunchHostFunc(stream, meet, std::ptr::null_mut()));
        ok(cuda.cuMemcpyHtoDAsync_v2(memory, pinned.as_ptr(), 8, stream));
        pinned.fill(4);
        MEETING.wait();
        assert_eq!(cuda.read(memory, 8, stream), [4; 8]);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.calls("(copy from pageable memory)"), 1);
    assert_eq!(outcome.calls("(copy to pageable memory)"), 2);
}

static MEETING: std::sync::LazyLock<std::sync::Barrier> =
    std::sync::LazyLock::new(|| std::sync::Barrier::new(2));

extern "C" fn meet(_: *mut c_void) {
    MEETING.wait();
}

#[test]
fn events_tell_when_they_are_reached_and_how_long_it_took() {
    alone("events_tell_when_they_are_reached_and_how_long_it_took", &[("STAND_IN_STRICT_EXIT", "1")], || {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        let [start, end] = [(); 2].map(|()| made(|event| cuda.cuEventCreate(event, 0)));
        // An event that was never recorded counts as reached.
        ok(cuda.cuEventQuery(start));
        ok(cuda.cuEventSynchronize(start));
        ok(cuda.cuEventRecord(start, stream));
        ok(cuda.cuLaunchHostFunc(stream, meet, std::ptr::null_mut()));
        ok(cuda.cuEventRecord(end, stream));
        assert_eq!(cuda.cuEventQuery(end), 600);
        assert_eq!(cuda.cuStreamQuery(stream), 600);
        MEETING.wait();
        ok(cuda.cuEventSynchronize(end));
        ok(cuda.cuStreamSynchronize(stream));
        ok(cuda.cuStreamQuery(stream));
        let mut milliseconds = -1.0;
        ok(cuda.cuEventElapsedTime(&raw mut milliseconds, start, end));
        assert!(milliseconds > 0.0, "{milliseconds}");
        for event in [start, end] {
            ok(cuda.cuEventDestroy_v2(event));
        }
        ok(cuda.cuStreamDestroy_v2(stream));
        cuda.close();
    })
    .is_clean();
}
