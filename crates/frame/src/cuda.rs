//! Pictures in CUDA device memory, and tensors made from them without a copy.
//!
//! candle's device and the framework's own work share one stream, which keeps them in order. candle's default
//! choice, the per-thread default stream of the device, would not order work across threads.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::CudaDevice;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Device, Layout, Storage, Tensor};
use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_cuda::{
    Copied, CopyStage, Download, Gpu, HostPicture, Picture, Sample, Stage, StageTime, TensorPixels,
    TensorPixelsMut,
};

use cutrickle_media::{Colour, Element, ModelInput};

use crate::{Error, I420, Result};

/// Opens the CUDA device `ordinal` for tensors and pictures.
///
/// # Errors
/// Fails if there is no driver, no such device, or a device that does not support the kernels; the message
/// says which.
pub fn cuda_device(ordinal: usize) -> Result<Device> {
    // Checked first, because on a machine without a driver candle's error is only a code.
    let count = Gpu::count().map_err(|e| Error::new(format!("cuda:{ordinal}")).because(e))?;
    if ordinal >= count {
        return Err(Error::new(format!("cuda:{ordinal}: no such GPU, the driver knows of {count}")));
    }
    let device = Device::new_cuda_with_stream(ordinal)
        .map_err(|e| Error::new(format!("opening cuda:{ordinal}")).because(e))?;
    gpu(&device)?;
    Ok(device)
}

/// Returns the object that runs kernels, decoders and encoders on the tensors' device. There is one per
/// candle device, and it lives as long as the process.
///
/// # Errors
/// Fails if the device is not a CUDA device, if it uses the default stream, or if the driver fails.
pub fn gpu(device: &Device) -> Result<Arc<Gpu>> {
    let device = cuda(device)?;
    let stream = device.cuda_stream();
    // The lock is taken when a video stream is opened, and once per frame whose pixels were replaced.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gpu) = open.iter().find(|gpu| Arc::ptr_eq(gpu.stream(), &stream)) {
        return Ok(Arc::clone(gpu));
    }
    let gpu = Gpu::on(stream).map_err(|e| Error::new("preparing the device").because(e))?;
    open.push(Arc::clone(&gpu));
    Ok(gpu)
}

static OPEN: Mutex<Vec<Arc<Gpu>>> = Mutex::new(Vec::new());

/// Counters of an open CUDA device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuFigures {
    /// The device's number.
    pub ordinal: usize,
    /// Bytes of pixels copied between the CPU and the device, by stage.
    pub copied: [Copied; CopyStage::ALL.len()],
    /// How often a picture had to wait for one of its decoder's surfaces.
    pub surface_waits: u64,
    /// The time spent in each stage, for the pictures that were timed.
    pub stages: [(Stage, StageTime); Stage::ALL.len()],
}

/// Bytes of memory in use on the open devices, by any process; devices whose driver does not answer are left
/// out. The query normally takes microseconds, but has no time limit if the driver hangs.
pub fn gpu_memory_used() -> u64 {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    open.iter().filter_map(|gpu| gpu.memory().ok()).map(|(used, _)| used).sum()
}

/// The counters of every open device.
pub fn gpu_figures() -> Vec<GpuFigures> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    open.iter()
        .map(|gpu| GpuFigures {
            ordinal: gpu.ordinal(),
            copied: gpu.transfers().copied(),
            surface_waits: gpu.surface_waits(),
            stages: Stage::ALL.map(|stage| (stage, gpu.stage_time(stage))),
        })
        .collect()
}

fn cuda(device: &Device) -> Result<&CudaDevice> {
    device.as_cuda_device().map_err(|e| Error::new("a picture on a device that is none of CUDA's").because(e))
}

/// Counts the upload of a tensor in CPU memory to `device`.
pub(crate) fn count_upload(tensor: &Tensor, device: &Device) {
    if let Ok(gpu) = gpu(device) {
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        gpu.transfers().count_to_device(bytes as u64);
    }
}

/// Whether `picture` is in the memory of `device`.
pub(crate) fn is_on(picture: &Picture, device: &Device) -> bool {
    matches!(device, Device::Cuda(device) if Arc::ptr_eq(picture.gpu().stream(), &device.cuda_stream()))
}

/// Converts `picture` to a tensor of shape (H, W, 3), u8, RGB, on `device`, which must hold the picture.
pub(crate) fn rgb_of(picture: &Picture, colour: Colour, device: &Device) -> Result<Tensor> {
    let rgb = picture.to_rgb(colour.space()).map_err(|e| Error::new("a picture to RGB").because(e))?;
    let storage = CudaStorage::wrap_cuda_slice(rgb, cuda(device)?.clone());
    let shape = (picture.height() as usize, picture.width() as usize, 3);
    Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
}

/// Converts `picture` to a model's input on `device`, which must hold the picture. Returns `None` for u8,
/// which no kernel produces.
pub(crate) fn model_of(
    picture: &Picture,
    colour: Colour,
    input: &ModelInput,
    device: &Device,
) -> Result<Option<Tensor>> {
    let (space, on) = (colour.space(), cuda(device)?.clone());
    let storage = match input.element {
        Element::U8 => return Ok(None),
        Element::F16 => {
            picture.to_model(space, input).map(|v| CudaStorage::wrap_cuda_slice::<half::f16>(v, on))
        }
        Element::Bf16 => {
            picture.to_model(space, input).map(|v| CudaStorage::wrap_cuda_slice::<half::bf16>(v, on))
        }
        Element::F32 => picture.to_model(space, input).map(|v| CudaStorage::wrap_cuda_slice::<f32>(v, on)),
    };
    let storage = storage.map_err(|e| Error::new("a picture to a model's input").because(e))?;
    let shape = input.shape(picture.width(), picture.height());
    Ok(Some(Tensor::from_storage(Storage::Cuda(storage), &shape, BackpropOp::none(), false)))
}

/// Converts pixels of shape (H, W, 1|3|4) on a CUDA device to an NV12 picture.
pub(crate) fn picture_of(pixels: &Tensor, colour: Colour) -> Result<Picture> {
    let gpu = gpu(pixels.device())?;
    let (height, width, _) = pixels.dims3()?;
    let new = Picture::new(&gpu, SurfaceFormat::Nv12, width as u32, height as u32);
    let mut picture = new.map_err(|e| Error::new("pixels to NV12").because(e))?;
    fill(&mut picture, pixels, colour)?;
    Ok(picture)
}

/// Fills a picture with the upper left part of pixels of shape (H, W, 1|3|4), which must be at least as
/// large.
///
/// # Errors
/// Fails if the type is not one of u8, f16, bf16 and f32, if the picture is larger than the pixels, or if the
/// driver fails.
pub fn fill(picture: &mut Picture, pixels: &Tensor, colour: Colour) -> Result<()> {
    match pixels.dtype() {
        DType::U8 => fill_with::<u8>(picture, pixels, colour),
        DType::F16 => fill_with::<half::f16>(picture, pixels, colour),
        DType::BF16 => fill_with::<half::bf16>(picture, pixels, colour),
        DType::F32 => fill_with::<f32>(picture, pixels, colour),
        other => Err(Error::new(format!("pixels of type {other:?} to NV12"))),
    }
}

fn fill_with<T>(picture: &mut Picture, pixels: &Tensor, colour: Colour) -> Result<()>
where
    T: Sample + candle_core::cuda_backend::CudaDType,
{
    // Rows need not be adjacent, but the pixels of a row and the channels of a pixel must be.
    let (_, _, channels) = pixels.dims3()?;
    let packed = matches!(pixels.stride(), [_, pixel, 1] if *pixel == channels);
    let pixels = if packed { pixels.clone() } else { pixels.contiguous()? };
    let (storage, layout) = pixels.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::new("pixels in host memory for a picture on a device"));
    };
    let pixels = TensorPixels {
        values: storage.as_cuda_slice::<T>()?,
        offset: layout.start_offset(),
        row_stride: layout.stride().first().copied().unwrap_or(0),
        width: picture.width(),
        height: picture.height(),
        channels: channels as u32,
    };
    picture.fill(&pixels, colour.space()).map_err(|e| Error::new("pixels to NV12").because(e))
}

/// Blends packed RGBA over packed RGB, in place, on their device.
pub(crate) fn overlay(
    target: &mut CudaStorage,
    of_target: &Layout,
    picture: &CudaStorage,
    of_picture: &Layout,
    at: [i32; 2],
) -> candle_core::Result<()> {
    let gpu = gpu(&Device::Cuda(target.device.clone())).map_err(candle_core::Error::wrap)?;
    let pixels = |layout: &Layout| -> candle_core::Result<_> {
        let (height, width, channels) = layout.shape().dims3()?;
        let row_stride = width * channels;
        Ok((layout.start_offset(), row_stride, width as u32, height as u32, channels as u32))
    };
    let (offset, row_stride, width, height, channels) = pixels(of_picture)?;
    let values = picture.as_cuda_slice::<u8>()?;
    let picture = TensorPixels { values, offset, row_stride, width, height, channels };
    let (offset, row_stride, width, height, channels) = pixels(of_target)?;
    let values = target.as_cuda_slice_mut::<u8>()?;
    let target = TensorPixelsMut { values, offset, row_stride, width, height, channels };
    gpu.overlay(target, &picture, at).map_err(candle_core::Error::wrap)
}

/// Copies `picture` to CPU memory through page-locked memory, and waits for it.
pub(crate) fn i420_of(picture: &Picture) -> Result<I420> {
    // Idle buffers for as many pictures as are downloaded at the same time: one per stream's encoder.
    static IDLE: Mutex<Vec<Download>> = Mutex::new(Vec::new());
    const MAX_IDLE: usize = 8;
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = |downloads: &[Download]| downloads.iter().position(|of| Arc::ptr_eq(of.gpu(), picture.gpu()));
    let taken = {
        let mut idle = idle();
        place(&idle).map(|at| idle.swap_remove(at))
    };
    let mut download = taken.unwrap_or_else(|| Download::new(Arc::clone(picture.gpu())));
    let host = download.fetch(picture).map_err(|e| Error::new("a picture to the host").because(e))?;
    let i420 = planes_of(&host)?;
    let mut idle = idle();
    if idle.len() < MAX_IDLE {
        idle.push(download);
    }
    Ok(i420)
}

/// Converts to three planes of 8 bits.
fn planes_of(host: &HostPicture<'_>) -> Result<I420> {
    let mut i420 = I420::new(host.width, host.height)?;
    let [y, u, v] = i420.planes_mut();
    // P010 has its ten bits in the upper end of 16, little-endian, so the upper byte is the 8-bit sample.
    let (step, high) = match host.format {
        SurfaceFormat::Nv12 => (1, 0),
        SurfaceFormat::P010 => (2, 1),
    };
    for (to, from) in y.data.chunks_exact_mut(y.width).zip(host.luma.chunks_exact(host.pitch)) {
        match step {
            1 => to.copy_from_slice(&from[..y.width]),
            _ => to.iter_mut().zip(from.chunks_exact(step)).for_each(|(to, from)| *to = from[high]),
        }
    }
    let chroma = u.data.chunks_exact_mut(u.width).zip(v.data.chunks_exact_mut(v.width));
    for ((u, v), from) in chroma.zip(host.chroma.chunks_exact(host.pitch)) {
        for ((u, v), pair) in u.iter_mut().zip(v).zip(from.chunks_exact(2 * step)) {
            (*u, *v) = (pair[high], pair[step + high]);
        }
    }
    Ok(i420)
}
