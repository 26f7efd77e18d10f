//! Memory pools. Each device has its default pool, which keeps no freed memory.

use std::ffi::{c_int, c_void};

use super::{context, memory};
use crate::call::entry_points;
use crate::pointer::{In, Out};
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::Handle;

/// The handle of the first device's pool. Pools always exist, so they need no table.
const FIRST: Handle = 0x9001 << 48;
const STEP: Handle = 0x100;

fn of_device(device: c_int) -> Answer<Handle> {
    let device = usize::try_from(device).ok().filter(|&device| device < SETTINGS.devices);
    device.map(|device| FIRST + device * STEP).ok_or(Status::INVALID_DEVICE)
}

fn device_of(name: &str, pool: Handle) -> Answer<usize> {
    let device =
        pool.checked_sub(FIRST).map(|offset| offset / STEP).filter(|&device| device < SETTINGS.devices);
    device.ok_or_else(|| {
        report::wrong(name, "there is no such pool");
        Status::INVALID_VALUE
    })
}

/// The `CUmemPool_attribute` for how much freed memory is kept.
const RELEASE_THRESHOLD: c_int = 4;
/// The attributes for the bytes that are reserved and used, now and at most.
const AMOUNTS: std::ops::RangeInclusive<c_int> = 5..=8;

entry_points! {
    fn cuDeviceGetDefaultMemPool(pool: Out<Handle>, device: c_int) needs Init { pool.put(of_device(device)?) }

    fn cuDeviceGetMemPool(pool: Out<Handle>, device: c_int) needs Init { pool.put(of_device(device)?) }

    fn cuMemPoolTrimTo(pool: Handle, _keep: usize) needs Init { device_of("cuMemPoolTrimTo", pool).map(drop) }

    fn cuMemPoolSetAttribute(pool: Handle, attribute: c_int, value: In<u64>) needs Init {
        device_of("cuMemPoolSetAttribute", pool)?;
        match attribute {
            // These say how freed memory may be reused, which it never is here.
            1..=3 => Ok(()),
            RELEASE_THRESHOLD => value.get().map(drop),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    fn cuMemPoolGetAttribute(pool: Handle, attribute: c_int, value: Out<c_void>) needs Init {
        let (free, total) = memory::room(device_of("cuMemPoolGetAttribute", pool)?);
        match attribute {
            1..=3 => value.cast::<c_int>().put(1),
            RELEASE_THRESHOLD => value.cast::<u64>().put(0),
            which if AMOUNTS.contains(&which) => value.cast::<u64>().put(total - free),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    fn cuMemAllocFromPoolAsync(address: Out<u64>, size: usize, pool: Handle, stream: Handle) needs Context {
        if device_of("cuMemAllocFromPoolAsync", pool)? != context::current()?.device {
            return Err(Status::INVALID_VALUE);
        }
        memory::allocate_in_order("cuMemAllocFromPoolAsync", address, size, stream)
    }
}
