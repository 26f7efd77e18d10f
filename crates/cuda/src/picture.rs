//! A picture in a device's memory.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut};

use crate::device::{Rows, driver};
use crate::kernels::{MAX_SIDE, Surface, SurfaceFormat};
use crate::{Error, Gpu, Result, Stage};

/// The alignment of a picture's rows in bytes, which is the width of the kernels' largest memory access.
const ALIGNMENT: usize = 16;

/// The origin of a picture's memory, which determines how it is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Allocated from the pool and freed in the order of the stream.
    Pool,
    /// A separate allocation. Freeing it stalls the whole device.
    Device,
}

/// A 4:2:0 picture in its own device memory: rows of luma, followed by half as many rows, rounded up, of
/// interleaved Cb and Cr.
///
/// Its pixels are those of the last write that was enqueued, and whatever reads them is enqueued on the same
/// stream. Its memory is freed on that stream as well, after all work that uses it.
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
    /// Allocates memory for a picture, with undefined content.
    ///
    /// # Errors
    /// A side is 0 or above [`MAX_SIDE`], or memory is exhausted.
    pub fn new(gpu: &Arc<Gpu>, format: SurfaceFormat, width: u32, height: u32) -> Result<Self> {
        Self::allocate(gpu, format, width, height, Origin::Pool)
    }

    /// Allocates a picture outside of the stream's pool, because NVENC does not register memory from the pool
    /// (`NV_ENC_ERR_RESOURCE_REGISTER_FAILED`). It is slow to allocate and to free.
    ///
    /// # Errors
    /// The same as for [`new`](Self::new).
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
                // SAFETY: the device's context is current. The address points to this many bytes, which have
                // no invalid values, and `drop` frees them with the matching function.
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

    /// Returns the device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Returns how samples are stored.
    pub fn format(&self) -> SurfaceFormat {
        self.format
    }

    /// Returns the width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the distance between rows in bytes, for luma and chroma alike.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// Returns the size of all rows of luma in bytes.
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
        // Dropping the guard reports the use of the memory to the driver, so it must happen after the work is
        // enqueued.
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
    /// `from` must have this picture's format and at least its size, point to memory of this device, and
    /// remain unchanged until the stream has executed the copy.
    pub(crate) unsafe fn copy_from(&mut self, from: Surface) -> Result<()> {
        let width = self.width.next_multiple_of(2) as usize * self.format.sample_size() as usize;
        let rows = self.height as usize;
        self.write(|gpu, to| {
            let at = |address, pitch: i64| Rows { address, pitch: usize::try_from(pitch).unwrap_or(0) };
            // SAFETY: the caller guarantees `from`. `to` is this picture's memory, which is freed on the
            // stream.
            unsafe {
                gpu.copy_rows(at(from.luma, from.luma_pitch), at(to.luma, to.luma_pitch), width, rows)?;
                let (from, to) = (at(from.chroma, from.chroma_pitch), at(to.chroma, to.chroma_pitch));
                gpu.copy_rows(from, to, width, rows.div_ceil(2))
            }
        })
    }

    /// Enqueues a copy of the upper left part of another picture into this one, which is the input of an
    /// encoder. The other picture must be on the same device, have the same format, and be at least as large.
    ///
    /// # Errors
    /// The other picture is on another device, has another format, or is smaller, or a driver call fails.
    pub fn copy_picture(&mut self, from: &Self) -> Result<()> {
        let shape = |picture: &Self| (picture.width, picture.height, picture.format);
        let large = from.width >= self.width && from.height >= self.height;
        if !Arc::ptr_eq(&self.gpu, &from.gpu) || from.format != self.format || !large {
            return Err(Error::new(format!("a copy of {:?} into {:?}", shape(from), shape(self))));
        }
        let _timed = self.gpu.sample(Stage::Encode);
        // SAFETY: `from` owns its memory, which is freed on the same stream after this copy.
        from.read(|surface| unsafe { self.copy_from(surface) })
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: nothing uses it after this.
        let memory = unsafe { ManuallyDrop::take(&mut self.memory) };
        if self.origin == Origin::Pool {
            drop(memory);
            return;
        }
        let stream = self.gpu.stream();
        let freed = self.gpu.bind().and_then(|()| {
            stream.synchronize().map_err(|e| driver("cuStreamSynchronize", &e))?;
            // SAFETY: the memory was allocated by the matching function, this is its only owner, and all work
            // that uses it was enqueued on the stream.
            unsafe { cudarc::driver::result::free_sync(memory.leak()) }.map_err(|e| driver("cuMemFree", &e))
        });
        if let Err(e) = freed {
            tracing::warn!("freeing a picture: {}", cutrickle_error::chain(&e));
        }
    }
}
