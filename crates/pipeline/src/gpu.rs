//! The metrics of the GPUs in use, and the timing of a processor's work on one. Without the feature `cuda`
//! there are no GPUs.

use candle_core::Device;
use prometheus::Registry;

/// Times the work that a stream's processor enqueues on its device, if that is a GPU.
#[derive(Debug)]
pub(crate) struct ProcessTimer {
    #[cfg(feature = "cuda")]
    gpu: Option<std::sync::Arc<cutrickle_frame::Gpu>>,
}

/// A frame that is timed until this is dropped.
#[derive(Debug)]
pub(crate) struct TimedPicture {
    #[cfg(feature = "cuda")]
    _work: Option<cutrickle_frame::TimedWork>,
}

impl ProcessTimer {
    pub(crate) fn on(device: &Device) -> Self {
        let _ = device;
        #[cfg(feature = "cuda")]
        memory::ask();
        Self {
            // On a device that is not a CUDA device, there is nothing to time.
            #[cfg(feature = "cuda")]
            gpu: cutrickle_frame::gpu(device).ok(),
        }
    }

    /// Starts timing a frame that is given to the processor.
    pub(crate) fn begin(&self) -> TimedPicture {
        #[cfg(feature = "cuda")]
        memory::ask();
        TimedPicture {
            #[cfg(feature = "cuda")]
            _work: self.gpu.as_ref().and_then(|gpu| gpu.sample(cutrickle_frame::GpuStage::Process)),
        }
    }
}

/// Counts what this thread copies between CPU and device for the stage with this name.
pub(crate) fn begin_stage(name: &str) {
    #[cfg(feature = "cuda")]
    if let Some(stage) = cutrickle_frame::CopyStage::ALL.into_iter().find(|stage| stage.name() == name) {
        stage.begin();
    }
    let _ = name;
}

/// MiB in use on all open devices, at most about a second old while a stream's processor runs, otherwise from
/// when one last ran. Never queries the driver, which may be slow: a status request must not wait for it.
pub(crate) fn memory_mb() -> f64 {
    #[cfg(feature = "cuda")]
    let bytes = memory::USED.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(feature = "cuda"))]
    let bytes = 0u64;
    bytes as f64 / f64::from(1 << 20)
}

/// The devices' memory, which the processors' threads query from the driver in passing.
#[cfg(feature = "cuda")]
mod memory {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    /// Bytes in use, as the driver last reported.
    pub(super) static USED: AtomicU64 = AtomicU64::new(0);
    static ASKED: Mutex<Option<Instant>> = Mutex::new(None);
    const INTERVAL: Duration = Duration::from_secs(1);

    /// Queries the driver, at most once a second over all callers. May take as long as the driver does.
    pub(super) fn ask() {
        // Another thread is querying already.
        let Ok(mut asked) = ASKED.try_lock() else { return };
        if asked.is_none_or(|at| at.elapsed() >= INTERVAL) {
            USED.store(cutrickle_frame::gpu_memory_used(), Ordering::Relaxed);
            *asked = Some(Instant::now());
        }
    }
}

/// Registers the counters of each device.
#[cfg(feature = "cuda")]
pub(crate) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    use prometheus::{CounterVec, IntCounterVec, Opts};

    let help = "Bytes of pixels copied between the host and a GPU";
    let copied = Opts::new("cutrickle_gpu_copied_bytes_total", help);
    let copied = IntCounterVec::new(copied, &["device", "direction", "stage"])?;
    let help = "Time that a GPU took over a stage of those pictures that were timed, one in 16";
    let seconds =
        CounterVec::new(Opts::new("cutrickle_gpu_stage_seconds_total", help), &["device", "stage"])?;
    let help = "Pictures that were timed in a stage";
    let samples =
        IntCounterVec::new(Opts::new("cutrickle_gpu_stage_samples_total", help), &["device", "stage"])?;
    let help = "Pictures that had to wait for a decoder's surface, as all were still being copied";
    let waits = IntCounterVec::new(Opts::new("cutrickle_gpu_surface_waits_total", help), &["device"])?;
    for gpu in cutrickle_frame::gpu_figures() {
        let device = format!("cuda:{}", gpu.ordinal);
        for of in gpu.copied {
            let labels = |direction| [device.as_str(), direction, of.stage.name()];
            copied.with_label_values(&labels("to_device")).inc_by(of.to_device);
            copied.with_label_values(&labels("to_host")).inc_by(of.to_host);
        }
        waits.with_label_values(&[device.as_str()]).inc_by(gpu.surface_waits);
        for (stage, time) in gpu.stages {
            let labels = [device.as_str(), stage.name()];
            seconds.with_label_values(&labels).inc_by(time.total.as_secs_f64());
            samples.with_label_values(&labels).inc_by(time.samples);
        }
    }
    registry.register(Box::new(copied))?;
    registry.register(Box::new(waits))?;
    registry.register(Box::new(seconds))?;
    registry.register(Box::new(samples))
}

/// Without CUDA there are no devices.
#[cfg(not(feature = "cuda"))]
pub(crate) fn register(_: &Registry) -> Result<(), prometheus::Error> {
    Ok(())
}
