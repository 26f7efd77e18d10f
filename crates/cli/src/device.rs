//! Where a worker's tensors are, for the commands that run one.

use cutrickle::{DeviceChoice, OpenedDevices};

use crate::failure::Failure;

/// Opens what was chosen. Says so where `auto` is not the GPU that this program was built for: a program built for none
/// has nothing to fall back from.
pub fn open(choice: &DeviceChoice) -> Result<OpenedDevices, Failure> {
    let opened = choice.open().map_err(|e| Failure::because("--device", e))?;
    let fallback = opened.fallback.filter(|_| cfg!(feature = "cuda"));
    if let Some(why) = &fallback {
        tracing::warn!("--device auto: on the CPU, for there is no GPU: {why}");
    }
    Ok(OpenedDevices { fallback, ..opened })
}
