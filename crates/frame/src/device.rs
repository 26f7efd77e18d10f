//! The device that a worker's tensors are on: the user's choice, and opening it.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use cutrickle_error::chain;

use crate::{Error, Result};

/// Why a program built without GPU support finds no GPU.
pub const WITHOUT_CUDA: &str = "this program was built without CUDA; `cargo build --release --features cuda` builds it with, and needs nvcc";

/// The user's choice: `auto`, `cpu`, or one or more devices such as `cuda:0`, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device, or the CPU if there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// Exactly these CUDA devices.
    Cuda(Vec<usize>),
}

/// The devices that were opened.
#[derive(Debug, Clone)]
pub struct OpenedDevices {
    /// The devices; at least one.
    pub devices: Vec<Device>,
    /// Why `auto` did not choose a GPU.
    pub fallback: Option<String>,
}

impl DeviceChoice {
    /// Opens the chosen devices.
    ///
    /// # Errors
    /// Fails if a CUDA device chosen by number cannot be opened; the message says why. `Auto` never fails.
    pub fn open(&self) -> Result<OpenedDevices> {
        match self {
            Self::Cpu => Ok(OpenedDevices { devices: vec![Device::Cpu], fallback: None }),
            Self::Auto => Ok(match open_cuda(0) {
                Ok(device) => OpenedDevices { devices: vec![device], fallback: None },
                Err(e) => OpenedDevices { devices: vec![Device::Cpu], fallback: Some(chain(&e).to_string()) },
            }),
            Self::Cuda(ordinals) => {
                let devices = ordinals.iter().map(|ordinal| open_cuda(*ordinal)).collect::<Result<_>>()?;
                Ok(OpenedDevices { devices, fallback: None })
            }
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device> {
    crate::cuda_device(ordinal)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<Device> {
    Err(Error::new(format!("cuda:{ordinal}: {WITHOUT_CUDA}")))
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::new(format!("`{text}` is none of auto, cpu, cuda:N, cuda:N,cuda:M"));
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let mut ordinals = Vec::new();
        for device in text.split(',') {
            let ordinal = match device.trim() {
                "cuda" => 0,
                device => device.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unknown)?,
            };
            if ordinals.contains(&ordinal) {
                return Err(Error::new(format!("cuda:{ordinal} twice in `{text}`")));
            }
            ordinals.push(ordinal);
        }
        Ok(Self::Cuda(ordinals))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinals) => {
                let names: Vec<String> = ordinals.iter().map(|ordinal| format!("cuda:{ordinal}")).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:1,cuda:0"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(vec![0]));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:0,cuda:0", "cpu,cuda:0"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn auto_says_why_it_is_the_cpu_and_a_named_device_refuses() {
        let opened = DeviceChoice::Auto.open().unwrap();
        assert_eq!(opened.devices.first().is_some_and(Device::is_cuda), opened.fallback.is_none());
        let far = DeviceChoice::Cuda(vec![4711]).open().unwrap_err();
        assert!(far.to_string().contains("cuda:4711"), "{far}");
    }
}
