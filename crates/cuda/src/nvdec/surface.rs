//! The decoder's output surfaces, which are mapped, copied from, and given back.

use std::collections::VecDeque;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use cudarc::driver::CudaEvent;
use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDGETDECODESTATUS, CUVIDPROCPARAMS, cuvidDecodeStatus_enum};

use super::api::{self, Cuvid};
use crate::device::{checked, driver};
use crate::kernels::{Surface, SurfaceFormat};
use crate::{Error, Gpu, Picture, Result, Stage, TimedWork};

/// The content of a surface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) format: SurfaceFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The number of rows of luma in the surface, after which chroma follows.
    pub(super) rows: u32,
    pub(super) progressive: bool,
    /// For an interlaced picture: the upper field is the earlier one.
    pub(super) top_field_first: bool,
}

/// The output surfaces of one decoder. At most [`MOST`](Self::MOST) are mapped at a time. If all of them are
/// still being copied, or the picture that the next one is to be decoded over is, the next one waits for the
/// oldest copy, which is counted.
pub(super) struct Surfaces {
    api: &'static Cuvid,
    gpu: Arc<Gpu>,
    /// The decoder, which outlives this struct: see `Session`.
    decoder: *mut c_void,
    /// The surfaces whose copies are enqueued, oldest first.
    copying: VecDeque<Copying>,
    /// Events to reuse.
    idle: Vec<CudaEvent>,
    waits: u64,
}

/// A surface whose copy is enqueued.
struct Copying {
    /// The index of the decoded picture that it was made from.
    index: c_int,
    address: u64,
    /// Recorded after the copy.
    copied: CudaEvent,
}

/// A mapped surface. It is given back once the event after its copy has completed, or on drop if it was never
/// copied.
pub(super) struct Mapped<'a> {
    surfaces: &'a mut Surfaces,
    index: c_int,
    address: u64,
    pitch: u32,
    output: Output,
    copying: bool,
    timed: Option<TimedWork>,
}

impl Surfaces {
    /// The maximum number of surfaces that may be mapped at a time.
    pub(super) const MOST: usize = 4;

    pub(super) fn new(api: &'static Cuvid, gpu: Arc<Gpu>, decoder: *mut c_void) -> Self {
        Self { api, gpu, decoder, copying: VecDeque::with_capacity(Self::MOST), idle: Vec::new(), waits: 0 }
    }

    /// Returns how often a picture had to wait for a surface.
    pub(super) fn waits(&self) -> u64 {
        self.waits
    }

    /// Maps picture `index`, after waiting until it is decoded (NVIDIA's NVDEC programming guide, "Preparing
    /// the decoded frame for further processing").
    pub(super) fn map(&mut self, index: c_int, output: Output) -> Result<Mapped<'_>> {
        self.give_back_copied()?;
        if self.copying.len() >= Self::MOST {
            self.wait_for_oldest()?;
        }
        // Mapping enqueues scaling and cropping.
        let timed = self.gpu.sample(Stage::Decode);
        let mut parameters = api::zeroed::<CUVIDPROCPARAMS>();
        parameters.progressive_frame = c_int::from(output.progressive);
        parameters.top_field_first = c_int::from(output.top_field_first);
        parameters.output_stream = self.gpu.stream().cu_stream().cast();
        let (mut address, mut pitch): (u64, c_uint) = (0, 0);
        // SAFETY: the decoder is alive. The library reads only this struct and writes only these two numbers.
        let code = unsafe { (self.api.map)(self.decoder, index, &mut address, &mut pitch, &mut parameters) };
        checked("cuvidMapVideoFrame64", code)?;
        let mapped = Mapped { surfaces: self, index, address, pitch, output, copying: false, timed };
        mapped.surfaces.check_decoded(index)?;
        Ok(mapped)
    }

    /// Returns an error if the hardware reports that picture `index` is damaged.
    fn check_decoded(&self, index: c_int) -> Result<()> {
        const DAMAGED: [c_int; 2] = [
            cuvidDecodeStatus_enum::cuvidDecodeStatus_Error as c_int,
            cuvidDecodeStatus_enum::cuvidDecodeStatus_Error_Concealed as c_int,
        ];
        let mut status = std::mem::MaybeUninit::<CUVIDGETDECODESTATUS>::zeroed();
        // SAFETY: the decoder is alive, and the library writes only this struct. The status is a C enum that
        // may have any value, so it is read as an integer.
        let (code, status) = unsafe {
            let code = (self.api.status)(self.decoder, index, status.as_mut_ptr());
            (code, (&raw const (*status.as_ptr()).decodeStatus).cast::<c_int>().read())
        };
        // Not every GPU reports the status, which is no reason to withhold a picture.
        if code == 0 && DAMAGED.contains(&status) {
            return Err(Error::new(format!("the picture is damaged (cuvidGetDecodeStatus: {status})")));
        }
        Ok(())
    }

    /// Prepares for decoding into picture `index` again. Waits for the copies of its previous content, which
    /// are done by then unless the device is behind.
    pub(super) fn free(&mut self, index: c_int) -> Result<()> {
        self.give_back_copied()?;
        while self.copying.iter().any(|copying| copying.index == index) {
            self.wait_for_oldest()?;
        }
        Ok(())
    }

    /// Gives back the surfaces whose copies are done, without waiting.
    fn give_back_copied(&mut self) -> Result<()> {
        while let Some(oldest) = self.copying.front() {
            if !oldest.copied.try_is_complete().map_err(|e| driver("cuEventQuery", &e))? {
                break;
            }
            self.unmap_oldest()?;
        }
        Ok(())
    }

    fn wait_for_oldest(&mut self) -> Result<()> {
        self.waits += 1;
        self.gpu.count_surface_wait();
        self.give_back_oldest()
    }

    /// Gives back every surface, after waiting for their copies.
    pub(super) fn give_back_all(&mut self) -> Result<()> {
        while !self.copying.is_empty() {
            self.give_back_oldest()?;
        }
        Ok(())
    }

    fn give_back_oldest(&mut self) -> Result<()> {
        if let Some(oldest) = self.copying.front() {
            oldest.copied.synchronize().map_err(|e| driver("cuEventSynchronize", &e))?;
        }
        self.unmap_oldest()
    }

    fn unmap_oldest(&mut self) -> Result<()> {
        let Some(Copying { address, copied, .. }) = self.copying.pop_front() else { return Ok(()) };
        self.idle.push(copied);
        self.unmap(address)
    }

    fn unmap(&self, address: u64) -> Result<()> {
        // SAFETY: the decoder is alive, and `address` is one of its mapped surfaces, which nothing reads any
        // more.
        checked("cuvidUnmapVideoFrame64", unsafe { (self.api.unmap)(self.decoder, address) })
    }

    fn event(&mut self) -> Result<CudaEvent> {
        match self.idle.pop() {
            Some(event) => Ok(event),
            None => self.gpu.stream().context().new_event(None).map_err(|e| driver("cuEventCreate", &e)),
        }
    }
}

impl Drop for Surfaces {
    fn drop(&mut self) {
        while !self.copying.is_empty() {
            // A surface is given back even if waiting for its copy fails, because the decoder is destroyed
            // next.
            if let Err(e) = self.give_back_oldest() {
                tracing::warn!("{}", cutrickle_error::chain(&e));
            }
        }
    }
}

impl Mapped<'_> {
    /// Enqueues a copy to separate memory. The surface is given back when the copy is done.
    pub(super) fn copy(mut self) -> Result<Picture> {
        let Output { format, width, height, rows, .. } = self.output;
        let gpu = Arc::clone(&self.surfaces.gpu);
        let mut picture = Picture::new(&gpu, format, width, height)?;
        let pitch = i64::from(self.pitch);
        let surface = Surface {
            luma: self.address,
            chroma: self.address + u64::from(self.pitch) * u64::from(rows),
            luma_pitch: pitch,
            chroma_pitch: pitch,
            width,
            height,
        };
        let copied = self.surfaces.event()?;
        self.copying = true;
        // SAFETY: the surface stays mapped until the event after the copy has completed. It is put in the
        // queue below even if a call fails.
        let result = unsafe { picture.copy_from(surface) };
        self.timed = None;
        let recorded = copied.record(gpu.stream()).map_err(|e| driver("cuEventRecord", &e));
        let Self { index, address, .. } = self;
        self.surfaces.copying.push_back(Copying { index, address, copied });
        result.and(recorded).map(|()| picture)
    }
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        if !self.copying
            && let Err(e) = self.surfaces.unmap(self.address)
        {
            tracing::warn!("{}", cutrickle_error::chain(&e));
        }
    }
}
