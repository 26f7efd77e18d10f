//! The devices and their properties.

use std::ffi::{c_char, c_int, c_uint};

use super::context;
use crate::call::entry_points;
use crate::pointer::Out;
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};

/// CUDA 13.0, as `cuDriverGetVersion` encodes it.
const VERSION: c_int = 13_000;

fn check(device: c_int) -> Answer<usize> {
    usize::try_from(device).ok().filter(|&device| device < SETTINGS.devices).ok_or(Status::INVALID_DEVICE)
}

/// The value of a `CUdevice_attribute` (cuda.h).
fn attribute(which: c_int, device: usize) -> Option<c_int> {
    Some(match which {
        // The most threads in a block, in total and by dimension.
        1..=3 => 1024,
        4 => 64,
        // The most blocks in a grid, by dimension.
        5 => c_int::MAX,
        6 | 7 => 65_535,
        // Shared memory of a block, by default and at most.
        8 => 49_152,
        97 => 101_376,
        // Threads in a warp.
        10 => 32,
        // Registers of a block and of a multiprocessor.
        12 | 82 => 65_536,
        // Clock rates of the processors and of memory, in kHz.
        13 => 2_520_000,
        36 => 10_501_000,
        // Copies and kernels overlap, with three copy engines.
        15 | 31 => 1,
        40 => 3,
        // Multiprocessors.
        16 => 76,
        // No run time limit, not integrated, and open to any process; host memory can be mapped.
        17 | 18 | 20 => 0,
        19 => 1,
        // PCI bus, device and domain.
        33 => 1 + device as c_int,
        34 | 50 => 0,
        // Unified addressing.
        41 => 1,
        // Width of the memory bus in bits, and size of the L2 cache in bytes.
        37 => 256,
        38 => 64 << 20,
        // Threads and shared memory of a multiprocessor.
        39 => 1536,
        81 => 102_400,
        75 => SETTINGS.capability.0,
        76 => SETTINGS.capability.1,
        // No managed memory.
        83 | 88 | 89 => 0,
        // Cooperative launch.
        95 => 1,
        // Memory pools, whose memory cannot be exported.
        115 => 1,
        119 => 0,
        _ => return None,
    })
}

/// The device's UUID, which is the same in every process and on every machine.
fn uuid(device: usize) -> [u8; 16] {
    let mut uuid = *b"stand-in device\0";
    uuid[15] = device as u8;
    uuid
}

entry_points! {
    fn cuInit(flags: c_uint) needs Nothing {
        if flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        if SETTINGS.devices == 0 {
            return Err(Status::NO_DEVICE);
        }
        context::initialise();
        Ok(())
    }

    fn cuDriverGetVersion(version: Out<c_int>) needs Nothing { version.put(VERSION) }

    fn cuDeviceGetCount(count: Out<c_int>) needs Init { count.put(SETTINGS.devices as c_int) }

    fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) needs Init {
        check(ordinal)?;
        device.put(ordinal)
    }

    fn cuDeviceGetName(name: Out<c_char>, length: c_int, device: c_int) needs Init {
        let device = check(device)?;
        let text = format!("Stand-in GPU {device}");
        let room = usize::try_from(length).map_err(|_| Status::INVALID_VALUE)?;
        name.put_text(&text, room)
    }

    fn cuDeviceGetUuid(to: Out<[u8; 16]>, device: c_int) needs Init { to.put(uuid(check(device)?)) }

    fn cuDeviceGetUuid_v2(to: Out<[u8; 16]>, device: c_int) needs Init { to.put(uuid(check(device)?)) }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) needs Init {
        check(device)?;
        bytes.put(SETTINGS.memory as usize)
    }

    fn cuDeviceGetAttribute(value: Out<c_int>, which: c_int, device: c_int) needs Init {
        let device = check(device)?;
        match attribute(which, device) {
            Some(number) => value.put(number),
            None => {
                report::wrong("cuDeviceGetAttribute", &format!("the stand-in has no attribute {which}"));
                Err(Status::INVALID_VALUE)
            }
        }
    }

    fn cuDeviceGetPCIBusId(text: Out<c_char>, length: c_int, device: c_int) needs Init {
        let device = check(device)?;
        let room = usize::try_from(length).map_err(|_| Status::INVALID_VALUE)?;
        text.put_text(&format!("0000:{:02X}:00.0", device + 1), room)
    }
}
