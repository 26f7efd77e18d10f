//! Reads the GPUs through the driver's NVML, which is loaded at run time where there is one.

use std::ffi::OsString;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use cutrickle_error::chain;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::hardware::{Capability, Gpu, Gpus, Memory, Reading, Utilization};
use crate::latest::Latest;
use crate::refusal::one_line;

/// A machine's GPUs. The driver's library is opened once, at the first reading. A machine without it has no
/// GPUs.
#[derive(Default)]
pub struct Hardware {
    /// The library's name, where it is not the usual one.
    library: Option<OsString>,
    nvml: OnceLock<Reading<Nvml>>,
}

impl Hardware {
    /// Reads all GPUs. Blocks for as long as the driver takes: milliseconds, or seconds if it has to wake a
    /// GPU.
    ///
    /// # Errors
    /// Why NVML cannot be used, in one line; the first time it goes to the log as well.
    pub fn read(&self) -> Reading<Gpus> {
        let nvml = self.nvml.get_or_init(|| self.open()).as_ref().map_err(Clone::clone)?;
        let count = nvml.device_count().map_err(|e| said("counting the GPUs", &e))?;
        Ok(Gpus {
            driver: nvml.sys_driver_version().map_err(|e| said("the driver's version", &e)),
            gpus: (0..count).map(|number| (number, read(nvml, number))).collect(),
        })
    }
}

impl Hardware {
    fn open(&self) -> Reading<Nvml> {
        let mut nvml = Nvml::builder();
        if let Some(library) = &self.library {
            nvml.lib_path(library);
        }
        let opened = nvml.init().map_err(|e| said("NVML", &e));
        if let Err(why) = &opened {
            tracing::info!("no GPUs are reported: {why}");
        }
        opened
    }
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hardware").field("opened", &self.nvml.get().map(Result::is_ok)).finish()
    }
}

fn read(nvml: &Nvml, number: u32) -> Gpu {
    let device = match nvml.device_by_index(number) {
        Ok(device) => device,
        Err(e) => return Gpu::unknown(&said("the GPU", &e)),
    };
    Gpu {
        id: device.uuid().map_err(|e| said("the UUID", &e)),
        name: device.name().map_err(|e| said("the name", &e)),
        memory: device
            .memory_info()
            .map(|memory| Memory { total: memory.total, free: memory.free })
            .map_err(|e| said("the memory", &e)),
        capability: device
            .cuda_compute_capability()
            .map_err(|e| said("the compute capability", &e))
            .and_then(|known| capability(known.major, known.minor)),
        utilization: device
            .utilization_rates()
            .map(|busy| Utilization { compute: busy.gpu, memory: busy.memory })
            .map_err(|e| said("the utilization", &e)),
        decoder: device
            .decoder_utilization()
            .map(|busy| busy.utilization)
            .map_err(|e| said("the decoder's utilization", &e)),
        encoder: device
            .encoder_utilization()
            .map(|busy| busy.utilization)
            .map_err(|e| said("the encoder's utilization", &e)),
    }
}

fn capability(major: i32, minor: i32) -> Reading<Capability> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(Capability { major, minor }),
        _ => Err(format!("the compute capability: {major}.{minor} makes no sense")),
    }
}

fn said(what: &str, e: &NvmlError) -> String {
    one_line(format_args!("{what}: {}", chain(e)))
}

/// A machine's GPUs for many callers at the same time. A driver that hangs holds up one thread, and no
/// caller.
#[derive(Debug, Clone)]
pub(crate) struct SharedHardware(Latest<Reading<Gpus>>);

/// A reading that is not older than this is used again.
const FRESH: Duration = Duration::from_millis(500);
/// How long calls about the GPUs wait for the driver, which may have to wake them.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long calls wait that are about much else as well: the previous reading is good enough for them.
const HASTE: Duration = Duration::from_millis(20);

impl SharedHardware {
    /// The GPUs as `read` reads them.
    pub(crate) fn new(read: impl Fn() -> Reading<Gpus> + Send + Sync + 'static) -> Self {
        Self(Latest::new("nvml", read))
    }

    /// The GPUs, freshly read if the driver answers in time.
    pub(crate) async fn read(&self) -> Reading<Gpus> {
        let no_answer = || Err(format!("NVML has not answered within {PATIENCE:?}"));
        self.0.get(FRESH, PATIENCE).await.unwrap_or_else(no_answer)
    }

    /// The same almost without waiting: the previous reading, where the driver takes longer than a moment.
    pub(crate) async fn glance(&self) -> Reading<Gpus> {
        let no_answer = || Err("NVML has not answered yet".into());
        self.0.get(FRESH, HASTE).await.unwrap_or_else(no_answer)
    }
}

impl Default for SharedHardware {
    fn default() -> Self {
        let hardware = Hardware::default();
        Self::new(move || hardware.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn without_a_driver() -> Hardware {
        Hardware { library: Some("no/such/libnvidia-ml.so.1".into()), ..Hardware::default() }
    }

    #[test]
    fn a_machine_without_a_driver_says_why_and_says_it_once_in_the_log() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let hardware = without_a_driver();
        let reasons: Vec<_> = tracing::subscriber::with_default(subscriber, || {
            (0..3).map(|_| hardware.read().unwrap_err()).collect()
        });
        assert!(reasons[0].contains("no/such") && reasons[0].lines().count() == 1, "{reasons:?}");
        assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
    }

    #[tokio::test]
    async fn many_may_ask_at_once_and_a_caller_that_goes_away_holds_nobody_up() {
        let hardware = without_a_driver();
        let hardware = SharedHardware::new(move || hardware.read());
        drop(tokio::spawn({
            let hardware = hardware.clone();
            async move { hardware.read().await }
        }));
        for asked in (0..20).map(|_| hardware.read()).collect::<Vec<_>>() {
            assert!(asked.await.is_err());
        }
        assert!(hardware.glance().await.is_err());
    }

    #[test]
    fn whatever_this_machine_has_it_can_be_asked() {
        match Hardware::default().read() {
            Ok(gpus) => {
                assert!(gpus.driver.is_ok() && gpus.gpus.values().all(|gpu| gpu.name.is_ok()), "{gpus:?}")
            }
            Err(why) => assert_eq!(why.lines().count(), 1, "{why}"),
        }
    }

    #[test]
    fn a_capability_below_zero_is_none() {
        assert_eq!(capability(9, 0), Ok(Capability { major: 9, minor: 0 }));
        assert!(capability(-1, 0).is_err());
    }
}
