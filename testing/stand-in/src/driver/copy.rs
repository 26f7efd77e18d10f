//! Copies and fills. All of them work on rows: on a single one, or on several that lie a pitch apart.

use std::ffi::{c_int, c_uint};

use super::context::Context;
use super::host_memory::{self, Place};
use super::memory;
use super::stream::{self, Fault};
use crate::call::entry_points;
use crate::guarded::Guarded;
use crate::pointer::{Host, In};
use crate::report;
use crate::status::{Answer, Status};
use crate::table::Handle;
use std::sync::Arc;

/// One side of a copy: where its first row begins.
#[derive(Clone, Copy)]
enum Side {
    Host(Host),
    Device(u64),
}

impl Side {
    /// The side that an address of either kind belongs to.
    fn of(address: u64) -> Self {
        if memory::is_device(address) {
            Self::Device(address)
        } else {
            Self::Host(Host(std::ptr::with_exposed_provenance_mut(address as usize)))
        }
    }
}

/// The rows on one side of a copy.
#[derive(Clone, Copy)]
struct Rows {
    side: Side,
    pitch: usize,
}

impl Rows {
    fn one(side: Side) -> Self {
        Self { side, pitch: 0 }
    }

    /// The number of bytes from the first to the last.
    fn extent(&self, width: usize, height: usize) -> Answer<usize> {
        if height > 1 && self.pitch < width {
            return Err(Status::INVALID_VALUE);
        }
        self.pitch.checked_mul(height - 1).and_then(|n| n.checked_add(width)).ok_or(Status::INVALID_VALUE)
    }
}

/// One side of a copy, as the stream finds it when it gets there.
enum Ready {
    Device(u64),
    Host {
        at: Host,
        /// Keeps pinned memory mapped that was allocated here.
        kept: Option<Arc<Guarded>>,
    },
    /// What was in pageable memory when the copy was requested, as packed rows.
    Staged(Vec<u8>),
}

/// The size of a copy and the pitch on both sides.
#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    height: usize,
    from: usize,
    to: usize,
}

impl Ready {
    /// The address of the first byte in host memory, and what keeps device memory mapped.
    fn reach(&self, context: &Context, extent: usize) -> Result<(*mut u8, Option<memory::Range>), Fault> {
        Ok(match self {
            Self::Device(address) => {
                let range = memory::range(context, *address, extent as u64)?;
                (range.host(), Some(range))
            }
            Self::Host { at, .. } => (at.offset(0), None),
            Self::Staged(bytes) => (bytes.as_ptr().cast_mut(), None),
        })
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Host { kept: Some(_), .. })
    }
}

/// Copies in a stream's order. If pageable memory is involved, the call returns once that memory is no longer
/// needed, as the driver's does.
fn copy(name: &'static str, on: Handle, from: Rows, to: Rows, (width, height): (usize, usize)) -> Answer {
    let stream = stream::find(name, on)?;
    if width == 0 || height == 0 {
        return Ok(());
    }
    let extents = (from.extent(width, height)?, to.extent(width, height)?);
    let mut shape = Shape { width, height, from: from.pitch, to: to.pitch };
    let source = match from.side {
        Side::Device(address) => Ready::Device(address),
        Side::Host(at) => match host_memory::place(name, at, extents.0)? {
            Place::Pinned(kept) => Ready::Host { at, kept },
            Place::Pageable => {
                report::count("(copy from pageable memory)");
                shape.from = width;
                // SAFETY: such a copy requires the caller's rows to be readable during the call.
                let row = |y| unsafe { std::slice::from_raw_parts(at.offset(y * from.pitch), width) };
                Ready::Staged((0..height).flat_map(row).copied().collect())
            }
        },
    };
    let mut waits = false;
    let target = match to.side {
        Side::Device(address) => Ready::Device(address),
        Side::Host(at) => match host_memory::place(name, at, extents.1)? {
            Place::Pinned(kept) => Ready::Host { at, kept },
            Place::Pageable => {
                report::count("(copy to pageable memory)");
                waits = true;
                Ready::Host { at, kept: None }
            }
        },
    };
    let context = stream.context;
    stream.submit(move || {
        let (source_at, _source) = source.reach(context, extents.0)?;
        let (target_at, _target) = target.reach(context, extents.1)?;
        debug_assert!(!waits || !target.is_kept());
        for y in 0..shape.height {
            // SAFETY: on the device, the ranges lie in live allocations that stay mapped until the copy is
            // done. On the host, pinned memory that was allocated here is kept, pageable memory was staged or
            // has a caller that is waiting, and registered memory stays until it is unregistered.
            unsafe {
                let row = source_at.wrapping_add(y * shape.from);
                target_at.wrapping_add(y * shape.to).copy_from(row, shape.width);
            }
        }
        Ok(())
    });
    if waits {
        stream.wait();
        return context.check();
    }
    Ok(())
}

/// Fills rows of `width` elements with copies of one element.
fn fill(name: &'static str, on: Handle, to: Rows, element: &[u8], (width, height): (usize, usize)) -> Answer {
    let stream = stream::find(name, on)?;
    let Side::Device(address) = to.side else { return Err(Status::INVALID_VALUE) };
    if width == 0 || height == 0 {
        return Ok(());
    }
    if !address.is_multiple_of(element.len() as u64) {
        return Err(Status::INVALID_VALUE);
    }
    let row = element.repeat(width);
    let extent = to.extent(row.len(), height)?;
    let context = stream.context;
    stream.submit(move || {
        let range = memory::range(context, address, extent as u64)?;
        for y in 0..height {
            // SAFETY: the rows lie in the range, whose allocation stays mapped until the fill is done.
            unsafe { range.host().add(y * to.pitch).copy_from_nonoverlapping(row.as_ptr(), row.len()) };
        }
        Ok(())
    });
    Ok(())
}

/// `CUDA_MEMCPY2D` in cuda.h.
#[derive(Clone, Copy)]
#[repr(C)]
struct Copy2D {
    from: Part,
    to: Part,
    width: usize,
    height: usize,
}

/// The fields of `CUDA_MEMCPY2D` for one side.
#[derive(Clone, Copy)]
#[repr(C)]
struct Part {
    x: usize,
    y: usize,
    kind: c_int,
    host: Host,
    device: u64,
    array: usize,
    pitch: usize,
}

impl Part {
    fn rows(&self) -> Answer<Rows> {
        let offset = self.y.checked_mul(self.pitch).and_then(|n| n.checked_add(self.x));
        let offset = offset.ok_or(Status::INVALID_VALUE)?;
        let side = match self.kind {
            1 => Side::Host(Host(self.host.offset(offset).cast())),
            2 => Side::Device(self.device.wrapping_add(offset as u64)),
            4 => Side::of(self.device.wrapping_add(offset as u64)),
            // Arrays are not used for video.
            _ => return Err(Status::NOT_SUPPORTED),
        };
        Ok(Rows { side, pitch: self.pitch })
    }
}

/// Refuses a synchronous copy or fill, because it works on the NULL stream.
fn on_null_stream(name: &'static str) -> Answer {
    stream::find(name, 0).map(drop)
}

entry_points! {
    fn cuMemcpyHtoDAsync_v2(to: u64, from: Host, size: usize, stream: Handle) needs Context {
        let (from, to) = (Rows::one(Side::Host(from)), Rows::one(Side::Device(to)));
        copy("cuMemcpyHtoDAsync_v2", stream, from, to, (size, 1))
    }

    fn cuMemcpyDtoHAsync_v2(to: Host, from: u64, size: usize, stream: Handle) needs Context {
        let (from, to) = (Rows::one(Side::Device(from)), Rows::one(Side::Host(to)));
        copy("cuMemcpyDtoHAsync_v2", stream, from, to, (size, 1))
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, size: usize, stream: Handle) needs Context {
        let (from, to) = (Rows::one(Side::Device(from)), Rows::one(Side::Device(to)));
        copy("cuMemcpyDtoDAsync_v2", stream, from, to, (size, 1))
    }

    fn cuMemcpyAsync(to: u64, from: u64, size: usize, stream: Handle) needs Context {
        copy("cuMemcpyAsync", stream, Rows::one(Side::of(from)), Rows::one(Side::of(to)), (size, 1))
    }

    fn cuMemcpy2DAsync_v2(what: In<Copy2D>, stream: Handle) needs Context {
        let what = what.get()?;
        copy("cuMemcpy2DAsync_v2", stream, what.from.rows()?, what.to.rows()?, (what.width, what.height))
    }

    fn cuMemsetD8Async(to: u64, value: u8, size: usize, stream: Handle) needs Context {
        fill("cuMemsetD8Async", stream, Rows::one(Side::Device(to)), &[value], (size, 1))
    }

    fn cuMemsetD16Async(to: u64, value: u16, size: usize, stream: Handle) needs Context {
        fill("cuMemsetD16Async", stream, Rows::one(Side::Device(to)), &value.to_ne_bytes(), (size, 1))
    }

    fn cuMemsetD32Async(to: u64, value: c_uint, size: usize, stream: Handle) needs Context {
        fill("cuMemsetD32Async", stream, Rows::one(Side::Device(to)), &value.to_ne_bytes(), (size, 1))
    }

    fn cuMemsetD2D8Async(
        to: u64,
        pitch: usize,
        value: u8,
        width: usize,
        height: usize,
        stream: Handle,
    ) needs Context {
        fill("cuMemsetD2D8Async", stream, Rows { side: Side::Device(to), pitch }, &[value], (width, height))
    }

    fn cuMemcpyHtoD_v2(_to: u64, _from: Host, _size: usize) needs Context {
        on_null_stream("cuMemcpyHtoD_v2")
    }

    fn cuMemcpyDtoH_v2(_to: Host, _from: u64, _size: usize) needs Context {
        on_null_stream("cuMemcpyDtoH_v2")
    }

    fn cuMemcpyDtoD_v2(_to: u64, _from: u64, _size: usize) needs Context {
        on_null_stream("cuMemcpyDtoD_v2")
    }

    fn cuMemcpy(_to: u64, _from: u64, _size: usize) needs Context { on_null_stream("cuMemcpy") }

    fn cuMemcpy2D_v2(_what: In<Copy2D>) needs Context { on_null_stream("cuMemcpy2D_v2") }

    fn cuMemcpy2DUnaligned_v2(_what: In<Copy2D>) needs Context { on_null_stream("cuMemcpy2DUnaligned_v2") }

    fn cuMemsetD8_v2(_to: u64, _value: u8, _size: usize) needs Context { on_null_stream("cuMemsetD8_v2") }

    fn cuMemsetD16_v2(_to: u64, _value: u16, _size: usize) needs Context { on_null_stream("cuMemsetD16_v2") }

    fn cuMemsetD32_v2(_to: u64, _value: c_uint, _size: usize) needs Context {
        on_null_stream("cuMemsetD32_v2")
    }

    fn cuMemsetD2D8_v2(_to: u64, _pitch: usize, _value: u8, _width: usize, _height: usize) needs Context {
        on_null_stream("cuMemsetD2D8_v2")
    }
}
