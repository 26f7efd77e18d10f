//! A picture in a device's memory.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut};

use crate::device::{Rows, driver};
use crate::kernels::{MAX_SIDE, Surface, SurfaceFormat};
use crate::{Error, Gpu, Result, Stage};

/// Bytes that the rows of a picture begin at a multiple of: what a thread of the kernels moves at once.
const ALIGNMENT: usize = 16;

/// Where a picture's memory comes from, and so how it is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// What the stream allocates and frees in its order.
    Pool,
    /// An allocation of its own, which takes the whole device's time to free.
    Device,
}

/// A 4:2:0 picture in memory of its own on a device: rows of luma, then half as many, rounded up, of Cb and Cr in turn.
///
/// Its pixels are those of the last work that was enqueued to write them; whatever reads them is enqueued on the same
/// stream. Its memory is freed on that stream as well, after all that uses it.
#[derive(Debug)]
pub struct Picture {
    gpu: Arc<Gpu>,
    memory: ManuallyDrop<CudaSlice<u8>>,
    origin: Origin,
    format: SurfaceFormat,
    width: u32,
    height: u32,
    pitch: usize,
}

impl Picture {
    /// Memory for a picture, with whatever is in it.
    ///
    /// # Errors
    /// A side of 0 or above [`MAX_SIDE`]; out of memory.
    pub fn new(gpu: &Arc<Gpu>, format: SurfaceFormat, width: u32, height: u32) -> Result<Self> {
        Self::allocate(gpu, format, width, height, Origin::Pool)
    }

    /// The same outside of the pool that the stream allocates from, whose memory NVENC does not register
    /// (`NV_ENC_ERR_RESOURCE_REGISTER_FAILED`). Slow to allocate and to free.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn outside_of_pool(
        gpu: &Arc<Gpu>,
        format: SurfaceFormat,
        width: u32,
        height: u32,
    ) -> Result<Self> {
        Self::allocate(gpu, format, width, height, Origin::Device)
    }

    fn allocate(
        gpu: &Arc<Gpu>,
        format: SurfaceFormat,
        width: u32,
        height: u32,
        origin: Origin,
    ) -> Result<Self> {
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Error::new(format!(
                "a picture of {width}x{height} pixels: sides are 1 to {MAX_SIDE}"
            )));
        }
        let row = width.next_multiple_of(2) as usize * format.sample_size() as usize;
        let pitch = row.next_multiple_of(ALIGNMENT);
        let rows = height as usize + height.div_ceil(2) as usize;
        let bytes = pitch * rows;
        let memory = match origin {
            Origin::Pool => {
                // SAFETY: bytes have no invalid values.
                unsafe { gpu.stream().alloc(bytes) }.map_err(|e| driver("cuMemAllocAsync", &e))?
            }
            Origin::Device => {
                gpu.bind()?;
                // SAFETY: the device's context is current; the address is that of so many bytes, which have no invalid
                // values, and `drop` frees them as they were allocated.
                unsafe {
                    let address =
                        cudarc::driver::result::malloc_sync(bytes).map_err(|e| driver("cuMemAlloc", &e))?;
                    gpu.stream().upgrade_device_ptr(address, bytes)
                }
            }
        };
        let memory = ManuallyDrop::new(memory);
        Ok(Self { gpu: Arc::clone(gpu), memory, origin, format, width, height, pitch })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// How samples are stored.
    pub fn format(&self) -> SurfaceFormat {
        self.format
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from a row to the next, of luma and of chroma.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// Bytes of all rows of luma.
    pub(crate) fn luma_bytes(&self) -> usize {
        self.pitch * self.height as usize
    }

    pub(crate) fn memory(&self) -> &CudaSlice<u8> {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut CudaSlice<u8> {
        &mut self.memory
    }

    fn at(&self, address: u64) -> Surface {
        let pitch = self.pitch as i64;
        Surface {
            luma: address,
            chroma: address + self.luma_bytes() as u64,
            luma_pitch: pitch,
            chroma_pitch: pitch,
            width: self.width,
            height: self.height,
        }
    }

    /// Enqueues work that reads the picture.
    pub(crate) fn read<T>(&self, work: impl FnOnce(Surface) -> Result<T>) -> Result<T> {
        // What the driver is told of the memory's use is told when the guard goes, so after the work is enqueued.
        let (address, _guard) = self.memory.device_ptr(self.gpu.stream());
        work(self.at(address))
    }

    /// Enqueues work that writes the picture.
    pub(crate) fn write<T>(&mut self, work: impl FnOnce(&Gpu, Surface) -> Result<T>) -> Result<T> {
        let shape = self.at(0);
        let stream = Arc::clone(self.gpu.stream());
        let (address, _guard) = self.memory.device_ptr_mut(&stream);
        work(&self.gpu, Surface { luma: address, chroma: address + shape.chroma, ..shape })
    }

    /// Enqueues a copy of the upper left part of `from` into this picture.
    ///
    /// # Safety
    /// `from`, of this picture's format and at least its size, is memory of this device, and stays as it is until the
    /// stream has come this far.
    pub(crate) unsafe fn copy_from(&mut self, from: Surface) -> Result<()> {
        let width = self.width.next_multiple_of(2) as usize * self.format.sample_size() as usize;
        let rows = self.height as usize;
        self.write(|gpu, to| {
            let at = |address, pitch: i64| Rows { address, pitch: usize::try_from(pitch).unwrap_or(0) };
            // SAFETY: the caller answers for `from`; `to` is this picture's memory, which the stream frees.
            unsafe {
                gpu.copy_rows(at(from.luma, from.luma_pitch), at(to.luma, to.luma_pitch), width, rows)?;
                let (from, to) = (at(from.chroma, from.chroma_pitch), at(to.chroma, to.chroma_pitch));
                gpu.copy_rows(from, to, width, rows.div_ceil(2))
            }
        })
    }

    /// Enqueues a copy into an encoder's input: the upper left part of another picture of the same device and format, which is at least as
    /// large, into this one.
    ///
    /// # Errors
    /// Another device or format, or a smaller picture; the driver's.
    pub fn copy_picture(&mut self, from: &Self) -> Result<()> {
        let shape = |picture: &Self| (picture.width, picture.height, picture.format);
        let large = from.width >= self.width && from.height >= self.height;
        if !Arc::ptr_eq(&self.gpu, &from.gpu) || from.format != self.format || !large {
            return Err(Error::new(format!("a copy of {:?} into {:?}", shape(from), shape(self))));
        }
        let _timed = self.gpu.sample(Stage::Encode);
        // SAFETY: `from`'s memory is its own and is freed on the same stream, behind this copy.
        from.read(|surface| unsafe { self.copy_from(surface) })
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: nobody looks at it after this.
        let memory = unsafe { ManuallyDrop::take(&mut self.memory) };
        if self.origin == Origin::Pool {
            drop(memory);
            return;
        }
        let stream = self.gpu.stream();
        let freed = self.gpu.bind().and_then(|()| {
            stream.synchronize().map_err(|e| driver("cuStreamSynchronize", &e))?;
            // SAFETY: it was allocated so, this is its only owner, and all work that uses it was enqueued on the stream.
            unsafe { cudarc::driver::result::free_sync(memory.leak()) }.map_err(|e| driver("cuMemFree", &e))
        });
        if let Err(e) = freed {
            tracing::warn!("freeing a picture: {}", cutrickle_error::chain(&e));
        }
    }
}
