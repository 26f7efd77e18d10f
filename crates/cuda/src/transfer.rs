//! Pixels that leave the device, and the count of all that go between it and the host.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::PinnedHostSlice;

use crate::device::driver;
use crate::kernels::SurfaceFormat;
use crate::{Error, Gpu, Picture, Result, Stage};

/// The stage of a stream's way that pixels are copied for: each has threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyStage {
    /// The host decoded what the device should have.
    Decode,
    /// A processor moves pictures.
    Process,
    /// The host encodes what the device should have.
    Encode,
    /// A thread that said nothing of itself.
    Other,
}

thread_local! {
    static STAGE: Cell<CopyStage> = const { Cell::new(CopyStage::Other) };
}

impl CopyStage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Process, Self::Encode, Self::Other];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Process => "process",
            Self::Encode => "encode",
            Self::Other => "other",
        }
    }

    /// This thread copies for this stage from now on.
    pub fn begin(self) {
        STAGE.set(self);
    }
}

/// Bytes of pixels that were copied for one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The stage.
    pub stage: CopyStage,
    /// From the host to the device.
    pub to_device: u64,
    /// From the device to the host.
    pub to_host: u64,
}

/// Bytes of pixels that went between a device and the host since the device was opened. With decoder and encoder on
/// the device all stay 0.
#[derive(Debug, Default)]
pub struct Transfers([Count; CopyStage::ALL.len()]);

#[derive(Debug, Default)]
struct Count {
    to_device: AtomicU64,
    to_host: AtomicU64,
}

impl Transfers {
    /// Both directions by stage.
    pub fn copied(&self) -> [Copied; CopyStage::ALL.len()] {
        CopyStage::ALL.map(|stage| {
            let Count { to_device, to_host } = &self.0[stage as usize];
            let [to_device, to_host] = [to_device, to_host].map(|bytes| bytes.load(Ordering::Relaxed));
            Copied { stage, to_device, to_host }
        })
    }

    /// Counts what others than this crate copy to the device.
    pub fn count_to_device(&self, bytes: u64) {
        self.0[STAGE.get() as usize].to_device.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what others than this crate copy to the host.
    pub fn count_to_host(&self, bytes: u64) {
        self.0[STAGE.get() as usize].to_host.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A way for pictures from a device to the host, with page-locked memory of its own that every picture uses again.
#[derive(Debug)]
pub struct Download {
    gpu: Arc<Gpu>,
    pinned: Option<PinnedHostSlice<u8>>,
}

/// A picture in host memory, until the next one is fetched.
#[derive(Debug, Clone, Copy)]
pub struct HostPicture<'a> {
    /// How samples are stored.
    pub format: SurfaceFormat,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from a row to the next, of luma and of chroma.
    pub pitch: usize,
    /// Rows of luma.
    pub luma: &'a [u8],
    /// Rows of chroma, Cb and Cr in turn, half as many, rounded up.
    pub chroma: &'a [u8],
}

impl Download {
    /// A way from `gpu`, without memory as yet.
    pub fn new(gpu: Arc<Gpu>) -> Self {
        Self { gpu, pinned: None }
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Fetches `picture`: one asynchronous copy, for which this waits. 1.5 bytes a pixel for NV12, 3 for P010, and what
    /// rows are padded by.
    ///
    /// # Errors
    /// The driver's.
    pub fn fetch(&mut self, picture: &Picture) -> Result<HostPicture<'_>> {
        let memory = picture.memory();
        let pinned = match self.pinned.take() {
            Some(pinned) if pinned.len() == memory.len() => pinned,
            _ => {
                // Not write-combined, which is slow to read from.
                // SAFETY: bytes have no invalid values, and nobody reads these before the copy has written them.
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
    /// A picture on `gpu` with the pixels of one in host memory. Waits until they are copied.
    ///
    /// # Errors
    /// As [`Picture::new`]; rows that are missing; the driver's.
    pub fn upload(gpu: &Arc<Gpu>, from: &HostPicture<'_>) -> Result<Self> {
        let mut picture = Self::new(gpu, from.format, from.width, from.height)?;
        // In one piece, as the picture lies on the device.
        let row = from.width.next_multiple_of(2) as usize * from.format.sample_size() as usize;
        let rows = [(from.luma, from.height), (from.chroma, from.height.div_ceil(2))];
        let mut packed = vec![0; picture.memory().len()];
        let mut places = packed.chunks_exact_mut(picture.pitch());
        for (plane, height) in rows {
            for at in 0..height as usize {
                let start = at * from.pitch;
                // The last row may end with its last pixel.
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
        // The copy reads `packed`, which goes with this call.
        gpu.stream().synchronize().map_err(|e| driver("cuStreamSynchronize", &e))?;
        Ok(picture)
    }
}
