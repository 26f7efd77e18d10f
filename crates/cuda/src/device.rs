//! One device, and the one stream that orders all work on it.

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

/// A device with the kernels loaded on it, and the stream that everything is ordered by.
///
/// Work that several threads enqueue is executed in the order in which they enqueued it. No method waits for
/// the device but those that say so.
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
    /// The device of `stream`, with all its work on that stream.
    ///
    /// # Errors
    /// The NULL stream or a thread's default stream, which order nothing between threads; the driver's, if it
    /// does not take the kernels.
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

    /// A device by its number, with a stream of its own.
    ///
    /// # Errors
    /// [`Error::is_unavailable`] without a driver; a number that no device has.
    pub fn open(ordinal: usize) -> Result<Arc<Self>> {
        let context = CudaContext::new(ordinal).map_err(|e| driver("opening the device", &e))?;
        let stream = context.new_stream().map_err(|e| driver("cuStreamCreate", &e))?;
        Self::on(stream)
    }

    /// The device's number.
    pub fn ordinal(&self) -> usize {
        self.stream.context().ordinal()
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// How many devices there are.
    ///
    /// # Errors
    /// [`Error::is_unavailable`] without a driver.
    pub fn count() -> Result<usize> {
        let count = CudaContext::device_count().map_err(|e| driver("counting the devices", &e))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The device's name.
    ///
    /// # Errors
    /// The driver's.
    pub fn name(&self) -> Result<String> {
        self.stream.context().name().map_err(|e| driver("cuDeviceGetName", &e))
    }

    /// The compute capability, major and minor.
    ///
    /// # Errors
    /// The driver's.
    pub fn compute_capability(&self) -> Result<(i32, i32)> {
        self.stream.context().compute_capability().map_err(|e| driver("cuDeviceGetAttribute", &e))
    }

    /// Bytes of memory that are in use by all programs, and bytes in all.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (free, total) = self.stream.context().mem_get_info().map_err(|e| driver("cuMemGetInfo", &e))?;
        Ok((total.saturating_sub(free) as u64, total as u64))
    }

    /// Bytes that went between this device and the host.
    pub fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// How often a picture of any decoder had to wait for a copy: all of that decoder's surfaces were being copied, or what it
    /// was to be decoded over was.
    pub fn surface_waits(&self) -> u64 {
        self.surface_waits.load(Ordering::Relaxed)
    }

    pub(crate) fn count_surface_wait(&self) {
        self.surface_waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Makes the device's context the current one of this thread, as calls of the other libraries need it.
    pub(crate) fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|e| driver("cuCtxSetCurrent", &e))
    }

    pub(crate) fn context(&self) -> *mut c_void {
        self.stream.context().cu_ctx().cast()
    }

    /// Enqueues the kernel `name`.
    ///
    /// # Safety
    /// Every address in `parameters` is that of memory of this device, as large as `parameters` says, which is
    /// freed or written by work enqueued on this stream later, or by nothing; `P` is what the kernel takes.
    pub(crate) unsafe fn launch<P: DeviceRepr>(&self, name: &str, grid: Grid, parameters: &P) -> Result<()> {
        let function = self.functions.get(name).ok_or_else(|| Error::new(format!("no kernel {name}")))?;
        let ([across, down], [x, y]) = (grid.blocks, grid.threads);
        let config = LaunchConfig { grid_dim: (across, down, 1), block_dim: (x, y, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(function);
        // SAFETY: the caller answers for the parameters; they are copied before the call returns.
        unsafe { launch.arg(parameters).launch(config) }
            .map(drop)
            .map_err(|e| driver(&format!("launching {name}"), &e))
    }
}

/// Rows in device memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) address: u64,
    /// Bytes from a row to the next.
    pub(crate) pitch: usize,
}

impl Gpu {
    /// Enqueues a copy of `rows` rows of `width` bytes from `from` to `to`, both in the device's memory.
    ///
    /// # Safety
    /// As for [`launch`](Self::launch): the rows are memory of this device, for as long as the stream needs it.
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
        // SAFETY: the description is read before the call returns; the caller answers for the memory.
        checked("cuMemcpy2DAsync", unsafe { cuMemcpy2DAsync_v2(&copy, self.stream.cu_stream().cast()) })
    }
}

/// Loads the kernels, once for all streams of a device: copies of one kernel that run side by side may push each other
/// out of the multiprocessors' instruction caches.
fn load(context: &Arc<CudaContext>) -> Result<Arc<CudaModule>> {
    // By their contexts, which live as long as what was loaded.
    static LOADED: Mutex<Vec<(usize, Weak<CudaModule>)>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|(_, module)| module.strong_count() > 0);
    let of = context.cu_ctx().addr();
    if let Some(module) =
        loaded.iter().find(|(context, _)| *context == of).and_then(|(_, module)| module.upgrade())
    {
        return Ok(module);
    }
    // cudarc takes an image only as text or from a file.
    let image = cudarc::nvrtc::Ptx::from_binary(kernels::IMAGE.to_vec());
    let module = context.load_module(image).map_err(|e| driver("loading the kernels", &e))?;
    loaded.push((of, Arc::downgrade(&module)));
    Ok(module)
}

/// Keeps what is freed for what is allocated next. By default the device's pool gives everything back to the
/// system whenever a stream is waited for, and a picture's memory then costs as much as the first one's.
fn keep_freed_memory(context: &Arc<CudaContext>) -> Result<()> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut pool = ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: the device is the context's; the pool is the device's own and lives as long as the driver; the
    // attribute is a 64-bit number.
    let code = unsafe {
        let code = cuDeviceGetDefaultMemPool(&mut pool, context.cu_device());
        match code {
            0 => cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, (&raw mut threshold).cast()),
            code => code,
        }
    };
    checked("cuMemPoolSetAttribute", code)
}

/// `CU_STREAM_PER_THREAD`, a number in place of a pointer, as `CU_STREAM_LEGACY` (1) and NULL are.
const PER_THREAD_STREAM: usize = 2;
/// `CU_MEMPOOL_ATTR_RELEASE_THRESHOLD`.
const RELEASE_THRESHOLD: c_int = 4;

// Declared with integers for results: a driver newer than cudarc may answer with a code that its enum does not know.
unsafe extern "C" {
    fn cuDeviceGetDefaultMemPool(pool: *mut *mut c_void, device: c_int) -> c_int;
    fn cuMemPoolSetAttribute(pool: *mut c_void, attribute: c_int, value: *mut c_void) -> c_int;
    fn cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, stream: *mut c_void) -> c_int;
    fn cuGetErrorName(code: c_int, name: *mut *const c_char) -> c_int;
}

/// An error where `code`, of a driver's call, is one.
pub(crate) fn checked(call: &str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(failure(call, code)) }
}

/// The error that a driver's call gave as `code`.
pub(crate) fn failure(call: &str, code: c_int) -> Error {
    let mut name = ptr::null();
    // SAFETY: the driver writes a pointer to a constant string of its own, or null.
    let name = unsafe {
        cuGetErrorName(code, &mut name);
        if name.is_null() { "an unknown error".into() } else { CStr::from_ptr(name).to_string_lossy() }
    };
    let what = format!("{call}: {name} ({code})");
    match code {
        // No device, no driver that fits, not initialised, no library, no such function in it.
        100 | 34 | 35 | 36 | 803 | 3 | 302 | 303 => Error::unavailable(what),
        801 => Error::unsupported(what),
        _ => Error::new(what),
    }
}

/// The error of one of cudarc's calls.
pub(crate) fn driver(call: &str, error: &DriverError) -> Error {
    let code = error.0 as c_int;
    let said = error.error_string().map(CStr::to_string_lossy).unwrap_or_default();
    match without_gpu(code, &said) {
        Some(what) => Error::unavailable(what),
        None => failure(call, code),
    }
}
