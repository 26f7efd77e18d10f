//! One device and the single stream that orders all work on it.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DeviceRepr, DriverError, LaunchConfig, PushKernelArg,
};

use crate::error::without_gpu;
use crate::kernels::{self, Grid};
use crate::timing::Timings;
use crate::transfer::Transfers;
use crate::{Error, Result};

/// A device with the kernels loaded, and the stream that orders all work on it.
///
/// Work from several threads runs in the order in which it was enqueued. Methods do not wait for the device
/// unless their documentation says so.
pub struct Gpu {
    stream: Arc<CudaStream>,
    functions: HashMap<&'static str, CudaFunction>,
    transfers: Transfers,
    timings: Timings,
    surface_waits: AtomicU64,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.ordinal())
    }
}

impl Gpu {
    /// Uses the device of `stream` and enqueues all work on that stream.
    ///
    /// # Errors
    /// `stream` is the NULL stream or a thread's default stream, which do not order work between threads, or
    /// the driver rejects the kernels.
    pub fn on(stream: Arc<CudaStream>) -> Result<Arc<Self>> {
        if stream.cu_stream() as usize <= PER_THREAD_STREAM {
            return Err(Error::new("a default stream: work from several threads needs a stream of its own"));
        }
        let context = stream.context();
        keep_freed_memory(context)?;
        let module = load(context)?;
        let functions = kernels::NAMES
            .into_iter()
            .map(|name| {
                Ok((name, module.load_function(name).map_err(|e| driver("cuModuleGetFunction", &e))?))
            })
            .collect::<Result<_>>()?;
        let (transfers, timings) = (Transfers::default(), Timings::default());
        Ok(Arc::new(Self { stream, functions, transfers, timings, surface_waits: AtomicU64::new(0) }))
    }

    /// Opens a device by its number and creates a stream for it.
    ///
    /// # Errors
    /// There is no driver ([`Error::is_unavailable`]), or no device has this number.
    pub fn open(ordinal: usize) -> Result<Arc<Self>> {
        let context = CudaContext::new(ordinal).map_err(|e| driver("opening the device", &e))?;
        let stream = context.new_stream().map_err(|e| driver("cuStreamCreate", &e))?;
        Self::on(stream)
    }

    /// Returns the device's number.
    pub fn ordinal(&self) -> usize {
        self.stream.context().ordinal()
    }

    /// Returns the stream.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Returns the number of devices.
    ///
    /// # Errors
    /// There is no driver ([`Error::is_unavailable`]).
    pub fn count() -> Result<usize> {
        let count = CudaContext::device_count().map_err(|e| driver("counting the devices", &e))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Returns the device's name.
    ///
    /// # Errors
    /// The driver call fails.
    pub fn name(&self) -> Result<String> {
        self.stream.context().name().map_err(|e| driver("cuDeviceGetName", &e))
    }

    /// Returns the major and minor compute capability.
    ///
    /// # Errors
    /// The driver call fails.
    pub fn compute_capability(&self) -> Result<(i32, i32)> {
        self.stream.context().compute_capability().map_err(|e| driver("cuDeviceGetAttribute", &e))
    }

    /// Returns the memory in use by all programs and the total memory, in bytes.
    ///
    /// # Errors
    /// The driver call fails.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (free, total) = self.stream.context().mem_get_info().map_err(|e| driver("cuMemGetInfo", &e))?;
        Ok((total.saturating_sub(free) as u64, total as u64))
    }

    /// Returns the counters of bytes copied between this device and the host.
    pub fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Returns how often a picture of any decoder had to wait for a copy, either because all surfaces of that
    /// decoder were being copied or because the surface that it was to be decoded into was.
    pub fn surface_waits(&self) -> u64 {
        self.surface_waits.load(Ordering::Relaxed)
    }

    pub(crate) fn count_surface_wait(&self) {
        self.surface_waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Makes the device's context current on this thread, which calls into the other libraries require.
    pub(crate) fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|e| driver("cuCtxSetCurrent", &e))
    }

    pub(crate) fn context(&self) -> *mut c_void {
        self.stream.context().cu_ctx().cast()
    }

    /// Enqueues the kernel `name`.
    ///
    /// # Safety
    /// Every address in `parameters` must point to memory of this device that is as large as `parameters`
    /// says. This memory may only be freed or written by work that is enqueued on this stream later. `P` must
    /// be the kernel's parameter type.
    pub(crate) unsafe fn launch<P: DeviceRepr>(&self, name: &str, grid: Grid, parameters: &P) -> Result<()> {
        let function = self.functions.get(name).ok_or_else(|| Error::new(format!("no kernel {name}")))?;
        let ([across, down], [x, y]) = (grid.blocks, grid.threads);
        let config = LaunchConfig { grid_dim: (across, down, 1), block_dim: (x, y, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(function);
        // SAFETY: the caller guarantees the parameters, which are copied before the call returns.
        unsafe { launch.arg(parameters).launch(config) }
            .map(drop)
            .map_err(|e| driver(&format!("launching {name}"), &e))
    }
}

/// Rows in device memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) address: u64,
    /// The distance between rows in bytes.
    pub(crate) pitch: usize,
}

impl Gpu {
    /// Enqueues a copy of `rows` rows of `width` bytes from `from` to `to`, both in device memory.
    ///
    /// # Safety
    /// As for [`launch`](Self::launch): both must be memory of this device for as long as the stream uses it.
    pub(crate) unsafe fn copy_rows(&self, from: Rows, to: Rows, width: usize, rows: usize) -> Result<()> {
        self.bind()?;
        let copy = CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: ptr::null(),
            srcDevice: from.address,
            srcArray: ptr::null_mut(),
            srcPitch: from.pitch,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: ptr::null_mut(),
            dstDevice: to.address,
            dstArray: ptr::null_mut(),
            dstPitch: to.pitch,
            WidthInBytes: width,
            Height: rows,
        };
        // SAFETY: the description is read before the call returns, and the caller guarantees the memory.
        checked("cuMemcpy2DAsync", unsafe { cuMemcpy2DAsync_v2(&copy, self.stream.cu_stream().cast()) })
    }
}

/// Loads the kernels once for all streams of a device, because copies of a kernel that run side by side may
/// evict each other from the multiprocessors' instruction caches.
fn load(context: &Arc<CudaContext>) -> Result<Arc<CudaModule>> {
    // Keyed by context. A context lives as long as the modules that were loaded into it.
    static LOADED: Mutex<Vec<(usize, Weak<CudaModule>)>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|(_, module)| module.strong_count() > 0);
    let of = context.cu_ctx().addr();
    if let Some(module) =
        loaded.iter().find(|(context, _)| *context == of).and_then(|(_, module)| module.upgrade())
    {
        return Ok(module);
    }
    // cudarc only loads images from text or from a file.
    let image = cudarc::nvrtc::Ptx::from_binary(kernels::IMAGE.to_vec());
    let module = context.load_module(image).map_err(|e| driver("loading the kernels", &e))?;
    loaded.push((of, Arc::downgrade(&module)));
    Ok(module)
}

/// Keeps freed memory for later allocations. By default, the device's pool returns all of it to the system
/// whenever a stream is synchronised, which makes every allocation as expensive as the first one.
fn keep_freed_memory(context: &Arc<CudaContext>) -> Result<()> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut pool = ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: the device is the context's. The pool belongs to the device and lives as long as the driver.
    // The attribute is a 64-bit number.
    let code = unsafe {
        let code = cuDeviceGetDefaultMemPool(&mut pool, context.cu_device());
        match code {
            0 => cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, (&raw mut threshold).cast()),
            code => code,
        }
    };
    checked("cuMemPoolSetAttribute", code)
}

/// `CU_STREAM_PER_THREAD`, which is a number in place of a pointer, like `CU_STREAM_LEGACY` (1) and NULL.
const PER_THREAD_STREAM: usize = 2;
/// `CU_MEMPOOL_ATTR_RELEASE_THRESHOLD`.
const RELEASE_THRESHOLD: c_int = 4;

// Declared with integer results, because a driver newer than cudarc may return a code that cudarc's enum does
// not contain.
unsafe extern "C" {
    fn cuDeviceGetDefaultMemPool(pool: *mut *mut c_void, device: c_int) -> c_int;
    fn cuMemPoolSetAttribute(pool: *mut c_void, attribute: c_int, value: *mut c_void) -> c_int;
    fn cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, stream: *mut c_void) -> c_int;
    fn cuGetErrorName(code: c_int, name: *mut *const c_char) -> c_int;
}

/// Returns an error if `code`, the result of a driver call, is not 0.
pub(crate) fn checked(call: &str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failure(call, code)) }
}

/// Returns the error for the result `code` of a driver call.
pub(crate) fn failure(call: &str, code: c_int) -> Error {
    let mut name = ptr::null();
    // SAFETY: the driver writes null or a pointer to a constant string of its own.
    let name = unsafe {
        cuGetErrorName(code, &mut name);
        if name.is_null() { "an unknown error".into() } else { CStr::from_ptr(name).to_string_lossy() }
    };
    let what = format!("{call}: {name} ({code})");
    match code {
        // No device, no matching driver, not initialised, no library, or a function that it lacks.
        100 | 34 | 35 | 36 | 803 | 3 | 302 | 303 => Error::unavailable(what),
        801 => Error::unsupported(what),
        _ => Error::new(what),
    }
}

/// Returns the error for a failed call of cudarc.
pub(crate) fn driver(call: &str, error: &DriverError) -> Error {
    let code = error.0 as c_int;
    let said = error.error_string().map(CStr::to_string_lossy).unwrap_or_default();
    match without_gpu(code, &said) {
        Some(what) => Error::unavailable(what),
        None => failure(call, code),
    }
}
