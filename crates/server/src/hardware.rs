//! What `/hardware/info` and `/hardware/stats` say of the GPUs, made of readings that `nvml` takes.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// A value that was read, or in one line why it could not be read.
pub type Reading<T> = Result<T, String>;

/// What NVML says of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gpus {
    /// The driver's version.
    pub driver: Reading<String>,
    /// The GPUs by number. Where one could only be read in part, it is here with what it did say.
    pub gpus: BTreeMap<u32, Gpu>,
}

/// Readings of one GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gpu {
    /// Its UUID.
    pub id: Reading<String>,
    /// Its product name.
    pub name: Reading<String>,
    /// Its memory.
    pub memory: Reading<Memory>,
    /// Its compute capability.
    pub capability: Reading<Capability>,
    /// How busy it was.
    pub utilization: Reading<Utilization>,
    /// How busy its decoder was, in percent of the time.
    pub decoder: Reading<u32>,
    /// How busy its encoder was, in percent of the time.
    pub encoder: Reading<u32>,
}

/// A GPU's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What is not in use.
    pub free: u64,
}

/// A compute capability, as 9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The number before the dot.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

/// How busy a GPU was over its last sample period (up to a second), in percent of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utilization {
    /// A kernel ran.
    pub compute: u32,
    /// Memory was read or written.
    pub memory: u32,
}

impl Gpus {
    /// A machine without GPUs, and why.
    pub(crate) fn none(why: String) -> Self {
        Self { driver: Err(why), gpus: BTreeMap::new() }
    }
}

impl Gpu {
    /// A GPU that nothing is known about, and why.
    pub(crate) fn unknown(why: &str) -> Self {
        Self {
            id: Err(why.into()),
            name: Err(why.into()),
            memory: Err(why.into()),
            capability: Err(why.into()),
            utilization: Err(why.into()),
            decoder: Err(why.into()),
            encoder: Err(why.into()),
        }
    }
}

/// What is common to both answers about a GPU. A field that could not be read is null, and `unavailable` says why.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct GpuBase {
    /// UUID.
    id: Option<String>,
    /// Product name.
    name: Option<String>,
    /// Bytes.
    memory_total: Option<u64>,
    /// Bytes.
    memory_free: Option<u64>,
    /// For each field that is null: why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unavailable: BTreeMap<&'static str, String>,
}

/// A GPU in `/hardware/info`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GpuInfo {
    #[serde(flatten)]
    base: GpuBase,
    /// Compute capability, before the point.
    major: Option<u32>,
    /// Compute capability, behind the point.
    minor: Option<u32>,
}

/// A GPU in `/hardware/stats`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GpuStats {
    #[serde(flatten)]
    base: GpuBase,
    /// Percent of the time in which a kernel ran.
    utilization_compute: Option<u32>,
    /// Percent of the time in which memory was read or written.
    utilization_memory: Option<u32>,
    /// Percent of the time in which the decoder worked.
    utilization_decoder: Option<u32>,
    /// Percent of the time in which the encoder worked.
    utilization_encoder: Option<u32>,
}

impl GpuBase {
    /// The value that was read for `fields`. Where that failed, the reason goes to `unavailable`.
    fn take<T: Clone>(&mut self, fields: &[&'static str], reading: &Reading<T>) -> Option<T> {
        match reading {
            Ok(value) => Some(value.clone()),
            Err(why) => {
                self.unavailable.extend(fields.iter().map(|field| (*field, why.clone())));
                None
            }
        }
    }
}

impl From<&Gpu> for GpuBase {
    fn from(gpu: &Gpu) -> Self {
        let mut base = Self::default();
        base.id = base.take(&["id"], &gpu.id);
        base.name = base.take(&["name"], &gpu.name);
        let memory = base.take(&["memory_total", "memory_free"], &gpu.memory);
        (base.memory_total, base.memory_free) = memory.map(|memory| (memory.total, memory.free)).unzip();
        base
    }
}

impl From<&Gpu> for GpuInfo {
    fn from(gpu: &Gpu) -> Self {
        let mut base = GpuBase::from(gpu);
        let known = base.take(&["major", "minor"], &gpu.capability);
        let (major, minor) = known.map(|known| (known.major, known.minor)).unzip();
        Self { base, major, minor }
    }
}

impl From<&Gpu> for GpuStats {
    fn from(gpu: &Gpu) -> Self {
        let mut base = GpuBase::from(gpu);
        let busy = base.take(&["utilization_compute", "utilization_memory"], &gpu.utilization);
        let (utilization_compute, utilization_memory) = busy.map(|busy| (busy.compute, busy.memory)).unzip();
        let utilization_decoder = base.take(&["utilization_decoder"], &gpu.decoder);
        let utilization_encoder = base.take(&["utilization_encoder"], &gpu.encoder);
        Self { base, utilization_compute, utilization_memory, utilization_decoder, utilization_encoder }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// Compares with `tests/golden/{name}.json`; with `UPDATE_GOLDEN` set, writes it.
    fn golden(name: &str, seen: &Value) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{seen:#}\n")).unwrap();
        }
        let wanted: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(*seen, wanted, "{name}: {seen:#}");
    }

    fn both(gpu: &Gpu) -> Value {
        json!({ "info": GpuInfo::from(gpu), "stats": GpuStats::from(gpu) })
    }

    fn whole() -> Gpu {
        Gpu {
            id: Ok("GPU-5d0b4a2c-0000-1111-2222-333344445555".into()),
            name: Ok("NVIDIA L4".into()),
            memory: Ok(Memory { total: 24_152_899_584, free: 23_703_781_376 }),
            capability: Ok(Capability { major: 8, minor: 9 }),
            utilization: Ok(Utilization { compute: 41, memory: 7 }),
            decoder: Ok(23),
            encoder: Ok(64),
        }
    }

    #[test]
    fn a_gpu_that_says_everything_is_shown_in_the_known_shape() {
        golden("gpu", &both(&whole()));
    }

    #[test]
    fn what_a_gpu_does_not_say_is_null_with_a_reason_and_the_rest_stays() {
        let partly = Gpu {
            memory: Err("the memory: not supported".into()),
            utilization: Err("the utilization: not supported".into()),
            encoder: Err("the encoder's utilization: not supported".into()),
            ..whole()
        };
        golden("gpu_in_part", &both(&partly));
        golden("gpu_that_is_lost", &both(&Gpu::unknown("the GPU: lost")));
    }
}
