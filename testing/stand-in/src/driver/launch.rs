//! Launches of kernels.
//!
//! Before a kernel runs, every row that its parameters name is checked, and their addresses are translated to
//! host memory.

use std::ffi::{c_uint, c_void};

use cutrickle_cuda::kernels::{OverlayBlend, RgbToNv12, Surface, YuvToModel, YuvToRgb};
use cutrickle_host_kernels::{Kernel, Launch};

use super::context::Context;
use super::memory::{self, Range};
use super::module;
use super::stream::{self, Fault};
use crate::call::entry_points;
use crate::pointer::In;
use crate::report;
use crate::status::{Answer, Status};
use crate::table::Handle;

/// A kernel's parameters.
#[derive(Clone, Copy)]
enum Work {
    YuvToRgb(YuvToRgb),
    YuvToModel(YuvToModel),
    RgbToNv12(RgbToNv12),
    OverlayBlend(OverlayBlend),
}

/// Checks rows and translates their addresses. The ranges stay mapped as long as this exists.
struct Mover {
    context: &'static Context,
    ranges: Vec<Range>,
}

impl Mover {
    /// Translates the address of `rows` rows of `row` bytes, `pitch` bytes apart, whose elements have
    /// `element` bytes.
    fn rows(
        &mut self,
        address: &mut u64,
        pitch: i64,
        row: u64,
        rows: u32,
        element: u64,
    ) -> Result<(), Fault> {
        let fault = |what: &str, status| Fault {
            what: format!("{rows} rows of {row} bytes at {:#x}, {pitch} apart: {what}", *address),
            status,
        };
        if row == 0 || rows == 0 {
            return Ok(());
        }
        if !address.is_multiple_of(element) || !pitch.unsigned_abs().is_multiple_of(element) {
            return Err(fault("not aligned to its elements", Status::MISALIGNED_ADDRESS));
        }
        let pitch = u64::try_from(pitch).map_err(|_| fault("backwards", Status::ILLEGAL_ADDRESS))?;
        let extent = u64::from(rows - 1).checked_mul(pitch).and_then(|n| n.checked_add(row));
        let extent = extent.ok_or_else(|| fault("too long", Status::ILLEGAL_ADDRESS))?;
        let range = memory::range(self.context, *address, extent)
            .map_err(|inner| fault(&inner.what, inner.status))?;
        *address = range.host().expose_provenance() as u64;
        self.ranges.push(range);
        Ok(())
    }

    fn surface(&mut self, surface: &mut Surface, sample: u64) -> Result<(), Fault> {
        let width = u64::from(surface.width);
        self.rows(&mut surface.luma, surface.luma_pitch, width * sample, surface.height, sample)?;
        let (row, rows) = (width.next_multiple_of(2) * sample, surface.height.div_ceil(2));
        // The kernels read chroma in pairs of samples.
        self.rows(&mut surface.chroma, surface.chroma_pitch, row, rows, 2 * sample)
    }
}

/// Bytes per sample of the pictures that a kernel reads, going by its name.
fn sample_size(name: &str) -> u64 {
    if name.starts_with("p010") { 2 } else { 1 }
}

/// Bytes per element of the tensors that a kernel reads or writes, going by its name.
fn element_size(name: &str) -> u64 {
    if name.contains("f32") {
        4
    } else if name.contains("f16") {
        2
    } else {
        1
    }
}

impl Work {
    fn moved(mut self, name: &str, mover: &mut Mover) -> Result<Self, Fault> {
        match &mut self {
            Self::YuvToRgb(work) => {
                let row = 3 * u64::from(work.source.width);
                mover.rows(&mut work.rgb, work.rgb_pitch, row, work.source.height, 1)?;
                mover.surface(&mut work.source, sample_size(name))?;
            }
            Self::YuvToModel(work) => {
                mover.surface(&mut work.source, sample_size(name))?;
                let element = element_size(name);
                let stride = |elements: i64| elements.saturating_mul(element as i64);
                let width = u64::from(work.width) * element;
                let (row, planes) = if work.interleaved == 1 { (3 * width, 1) } else { (width, 3u64) };
                // The last plane is checked by itself, and then that all planes lie in one allocation.
                let mut last = work.output + (planes - 1) * stride(work.plane_stride).unsigned_abs();
                let all = last.saturating_sub(work.output);
                mover.rows(&mut last, stride(work.row_stride), row, work.height, element)?;
                let from_first = (all + row).max(row);
                mover.rows(&mut work.output, 0, from_first, 1, element)?;
            }
            Self::RgbToNv12(work) => {
                let element = element_size(name);
                let row = u64::from(work.width) * u64::from(work.channels) * element;
                mover.rows(&mut work.pixels, work.pixels_pitch, row, work.height, element)?;
                let width = u64::from(work.width);
                mover.rows(&mut work.luma, work.luma_pitch, width, work.height, 1)?;
                let rows = work.height.div_ceil(2);
                mover.rows(&mut work.chroma, work.chroma_pitch, width.next_multiple_of(2), rows, 1)?;
            }
            Self::OverlayBlend(work) => {
                // Only the rows and columns where the two overlap are touched.
                let (across, down) = (work.right - work.left, work.bottom - work.top);
                let within = |at: u32, offset: i32| (i64::from(at) - i64::from(offset)).unsigned_abs();
                let skipped = within(work.top, work.offset_y) * work.picture_pitch.unsigned_abs()
                    + 4 * within(work.left, work.offset_x);
                let mut picture = work.picture + skipped;
                mover.rows(&mut picture, work.picture_pitch, 4 * u64::from(across), down, 1)?;
                work.picture = picture.wrapping_sub(skipped);
                let skipped = u64::from(work.top) * work.rgb_pitch.unsigned_abs() + 3 * u64::from(work.left);
                let mut rgb = work.rgb + skipped;
                mover.rows(&mut rgb, work.rgb_pitch, 3 * u64::from(across), down, 1)?;
                work.rgb = rgb.wrapping_sub(skipped);
            }
        }
        Ok(self)
    }

    /// # Safety
    /// Every row that the parameters name must be mapped in host memory.
    unsafe fn run(&self, kernel: Kernel, grid: Launch) {
        // SAFETY: the caller guarantees it for each of them.
        unsafe {
            match (self, kernel) {
                (Self::YuvToRgb(work), Kernel::YuvToRgb(run)) => run(work, &grid),
                (Self::YuvToModel(work), Kernel::YuvToModel(run)) => run(work, &grid),
                (Self::RgbToNv12(work), Kernel::RgbToNv12(run)) => run(work, &grid),
                (Self::OverlayBlend(work), Kernel::OverlayBlend(run)) => run(work, &grid),
                // The parameters were read for this very kernel.
                _ => {}
            }
        }
    }
}

/// Reads the kernel's only parameter.
fn work(kernel: Kernel, parameters: In<In<c_void>>) -> Answer<Work> {
    let first = parameters.get()?;
    Ok(match kernel {
        Kernel::YuvToRgb(_) => Work::YuvToRgb(first.cast().get()?),
        Kernel::YuvToModel(_) => Work::YuvToModel(first.cast().get()?),
        Kernel::RgbToNv12(_) => Work::RgbToNv12(first.cast().get()?),
        Kernel::OverlayBlend(_) => Work::OverlayBlend(first.cast().get()?),
    })
}

/// Checks that a device would accept a grid of this size.
fn grid(blocks: [c_uint; 3], threads: [c_uint; 3]) -> Answer<Launch> {
    let [across, down, deep] = blocks;
    let [x, y, z] = threads;
    let in_block = u64::from(x) * u64::from(y) * u64::from(z);
    let fits = across <= i32::MAX as u32 && down <= 65_535;
    if across == 0 || down == 0 || !fits || in_block == 0 || in_block > 1024 {
        return Err(Status::INVALID_VALUE);
    }
    if deep != 1 || z != 1 {
        report::wrong("cuLaunchKernel", "the kernels are launched with two dimensions");
        return Err(Status::INVALID_VALUE);
    }
    Ok(Launch::new([across, down], [x, y]))
}

entry_points! {
    fn cuLaunchKernel(
        function: Handle,
        blocks_x: c_uint,
        blocks_y: c_uint,
        blocks_z: c_uint,
        threads_x: c_uint,
        threads_y: c_uint,
        threads_z: c_uint,
        shared: c_uint,
        on: Handle,
        parameters: In<In<c_void>>,
        extra: usize,
    ) needs Context {
        let stream = stream::find("cuLaunchKernel", on)?;
        let function = module::function("cuLaunchKernel", function)?;
        if !std::ptr::eq(function.context, stream.context) {
            return Err(Status::INVALID_HANDLE);
        }
        if shared > 101_376 || extra != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let grid = grid([blocks_x, blocks_y, blocks_z], [threads_x, threads_y, threads_z])?;
        let work = work(function.kernel, parameters)?;
        // The warps of this kernel write through shared memory, which has room for four of them in a block.
        let whole_warps = threads_x.is_multiple_of(32) && threads_x * threads_y <= 4 * 32;
        if matches!(work, Work::YuvToRgb(_)) && !whole_warps {
            report::wrong("cuLaunchKernel", "blocks of up to four whole warps, one above the other");
            return Err(Status::INVALID_VALUE);
        }
        let context = stream.context;
        stream.submit(move || {
            let mut mover = Mover { context, ranges: Vec::new() };
            let named = |fault: Fault| Fault { what: format!("{}: {}", function.name, fault.what), ..fault };
            let work = work.moved(&function.name, &mut mover).map_err(named)?;
            // SAFETY: each row was checked, and its range stays mapped until the kernel is done.
            unsafe { work.run(function.kernel, grid) };
            drop(mover);
            Ok(())
        });
        Ok(())
    }
}
