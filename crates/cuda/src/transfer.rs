//! Downloads and uploads of pictures, and counters of all pixels that are copied between a device and the
//! host.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::PinnedHostSlice;

use crate::device::driver;
use crate::kernels::SurfaceFormat;
use crate::{Error, Gpu, Picture, Result, Stage};

/// The stage of a stream that pixels are copied for. Each stage has its own threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStage {
    /// The host decodes in place of the device.
    Decode,
    /// A processor copies pictures.
    Process,
    /// The host encodes in place of the device.
    Encode,
    /// A thread that has not declared its stage.
    Other,
}

thread_local! {
    static STAGE: Cell<CopyStage> = const { Cell::new(CopyStage::Other) };
}

impl CopyStage {
    /// All stages.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Process, Self::Encode, Self::Other];

    /// The stage's name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Process => "process",
            Self::Encode => "encode",
            Self::Other => "other",
        }
    }

    /// Declares that this thread copies for this stage from now on.
    pub fn begin(self) {
        STAGE.set(self);
    }
}

/// The number of bytes of pixels that were copied for one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The stage.
    pub stage: CopyStage,
    /// Bytes from the host to the device.
    pub to_device: u64,
    /// Bytes from the device to the host.
    pub to_host: u64,
}

/// Counts the bytes of pixels that were copied between a device and the host since the device was opened. All
/// counts stay 0 if both the decoder and the encoder run on the device.
#[derive(Debug, Default)]
pub struct Transfers([Count; CopyStage::ALL.len()]);

#[derive(Debug, Default)]
struct Count {
    to_device: AtomicU64,
    to_host: AtomicU64,
}

impl Transfers {
    /// Returns the counts of both directions by stage.
    pub fn copied(&self) -> [Copied; CopyStage::ALL.len()] {
        CopyStage::ALL.map(|stage| {
            let Count { to_device, to_host } = &self.0[stage as usize];
            let [to_device, to_host] = [to_device, to_host].map(|bytes| bytes.load(Ordering::Relaxed));
            Copied { stage, to_device, to_host }
        })
    }

    /// Counts a copy to the device that was made outside of this crate.
    pub fn count_to_device(&self, bytes: u64) {
        self.0[STAGE.get() as usize].to_device.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a copy to the host that was made outside of this crate.
    pub fn count_to_host(&self, bytes: u64) {
        self.0[STAGE.get() as usize].to_host.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Copies pictures from a device to the host, through page-locked memory that is reused for every picture.
#[derive(Debug)]
pub struct Download {
    gpu: Arc<Gpu>,
    pinned: Option<PinnedHostSlice<u8>>,
}

/// A picture in host memory, which is valid until the next one is fetched.
#[derive(Debug, Clone, Copy)]
pub struct HostPicture<'a> {
    /// How samples are stored.
    pub format: SurfaceFormat,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The distance between rows in bytes, for luma and chroma alike.
    pub pitch: usize,
    /// The rows of luma.
    pub luma: &'a [u8],
    /// The rows of interleaved Cb and Cr, half as many as luma, rounded up.
    pub chroma: &'a [u8],
}

impl Download {
    /// Prepares downloads from `gpu` without allocating memory yet.
    pub fn new(gpu: Arc<Gpu>) -> Self {
        Self { gpu, pinned: None }
    }

    /// Returns the device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Fetches `picture` with one asynchronous copy and waits for it. It takes 1.5 bytes a pixel for NV12 and
    /// 3 for P010, plus the padding of the rows.
    ///
    /// # Errors
    /// A driver call fails.
    pub fn fetch(&mut self, picture: &Picture) -> Result<HostPicture<'_>> {
        let memory = picture.memory();
        let pinned = match self.pinned.take() {
            Some(pinned) if pinned.len() == memory.len() => pinned,
            _ => {
                // Memory that is not write-combined, because that is slow to read.
                // SAFETY: bytes have no invalid values, and nothing reads these before the copy has written
                // them.
                unsafe { self.gpu.stream().context().alloc_pinned_with_flags(memory.len(), 0) }
                    .map_err(|e| driver("cuMemHostAlloc", &e))?
            }
        };
        let pinned = self.pinned.insert(pinned);
        let timed = self.gpu.sample(Stage::Download);
        self.gpu.stream().memcpy_dtoh(memory, pinned).map_err(|e| driver("cuMemcpyDtoHAsync", &e))?;
        drop(timed);
        self.gpu.transfers().count_to_host(memory.len() as u64);
        let bytes = pinned.as_slice().map_err(|e| driver("cuEventSynchronize", &e))?;
        let (luma, chroma) = bytes.split_at(picture.luma_bytes().min(bytes.len()));
        Ok(HostPicture {
            format: picture.format(),
            width: picture.width(),
            height: picture.height(),
            pitch: picture.pitch(),
            luma,
            chroma,
        })
    }
}

impl Picture {
    /// Uploads a picture from host memory to `gpu`, and waits until it is copied.
    ///
    /// # Errors
    /// The same as for [`Picture::new`]. In addition, rows are missing or a driver call fails.
    pub fn upload(gpu: &Arc<Gpu>, from: &HostPicture<'_>) -> Result<Self> {
        let mut picture = Self::new(gpu, from.format, from.width, from.height)?;
        // Packed into one piece in the layout of the device's picture.
        let row = from.width.next_multiple_of(2) as usize * from.format.sample_size() as usize;
        let rows = [(from.luma, from.height), (from.chroma, from.height.div_ceil(2))];
        let mut packed = vec![0; picture.memory().len()];
        let mut places = packed.chunks_exact_mut(picture.pitch());
        for (plane, height) in rows {
            for at in 0..height as usize {
                let start = at * from.pitch;
                // The last row may end after its last pixel, without padding.
                let end = plane.len().min(start + row);
                match (places.next(), plane.get(start..end)) {
                    (Some(to), Some(from)) if !from.is_empty() => to[..from.len()].copy_from_slice(from),
                    _ => {
                        return Err(Error::new(format!(
                            "row {at} of {height} is not in {} bytes",
                            plane.len()
                        )));
                    }
                }
            }
        }
        gpu.transfers().count_to_device(packed.len() as u64);
        gpu.stream()
            .memcpy_htod(&packed, picture.memory_mut())
            .map_err(|e| driver("cuMemcpyHtoDAsync", &e))?;
        // The copy reads `packed`, which is freed when this call returns.
        gpu.stream().synchronize().map_err(|e| driver("cuStreamSynchronize", &e))?;
        Ok(picture)
    }
}
