//! How busy the GPUs are, for Prometheus: gauges that are set from NVML's readings whenever the metrics are asked for.

use prometheus::{Error, IntGaugeVec, Opts, Registry};

use crate::hardware::Gpus;

/// The gauges.
#[derive(Debug, Clone)]
pub(crate) struct GpuMetrics {
    utilization: IntGaugeVec,
    memory: IntGaugeVec,
}

impl GpuMetrics {
    /// Gauges in `registry`, not shown before there is a GPU.
    ///
    /// # Errors
    /// Names that are taken.
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let busy = "Percent of the time in which a part of a GPU worked, over its last sample period";
        let utilization =
            IntGaugeVec::new(Opts::new("cutrickle_gpu_utilization_percent", busy), &["gpu", "engine"])?;
        let used = "Bytes of a GPU's memory in use, by whomever";
        let memory = IntGaugeVec::new(Opts::new("cutrickle_gpu_memory_used_bytes", used), &["gpu"])?;
        registry.register(Box::new(utilization.clone()))?;
        registry.register(Box::new(memory.clone()))?;
        Ok(Self { utilization, memory })
    }

    /// Shows `gpus`. What could not be read is not shown.
    pub(crate) fn set(&self, gpus: &Gpus) {
        self.utilization.reset();
        self.memory.reset();
        for (number, gpu) in &gpus.gpus {
            let number = number.to_string();
            let engines = [
                ("compute", gpu.utilization.as_ref().ok().map(|busy| busy.compute)),
                ("memory", gpu.utilization.as_ref().ok().map(|busy| busy.memory)),
                ("decoder", gpu.decoder.as_ref().ok().copied()),
                ("encoder", gpu.encoder.as_ref().ok().copied()),
            ];
            for (engine, percent) in engines {
                if let Some(percent) = percent {
                    self.utilization.with_label_values(&[number.as_str(), engine]).set(percent.into());
                }
            }
            if let Ok(memory) = &gpu.memory {
                let used = memory.total.saturating_sub(memory.free);
                self.memory.with_label_values(&[&number]).set(used.try_into().unwrap_or(i64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::hardware::{Gpu, Memory, Utilization};

    #[test]
    fn what_was_read_is_shown_and_what_was_not_is_left_out() {
        let registry = Registry::new();
        let metrics = GpuMetrics::new(&registry).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        metrics.set(&Gpus::none("no driver".into()));
        assert_eq!(text(), "");
        let mut gpus = Gpus::none(String::new());
        let gpu = Gpu {
            utilization: Ok(Utilization { compute: 41, memory: 7 }),
            decoder: Ok(23),
            memory: Ok(Memory { total: 100, free: 40 }),
            ..Gpu::unknown("lost")
        };
        gpus.gpus.insert(1, gpu);
        metrics.set(&gpus);
        let shown = text();
        for line in [
            r#"cutrickle_gpu_memory_used_bytes{gpu="1"} 60"#,
            r#"cutrickle_gpu_utilization_percent{engine="compute",gpu="1"} 41"#,
            r#"cutrickle_gpu_utilization_percent{engine="decoder",gpu="1"} 23"#,
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
        assert!(!shown.contains("encoder"), "{shown}");
        metrics.set(&Gpus::none("the driver is gone".into()));
        assert_eq!(text(), "");
    }
}
