//! Opening the devices that `--device` chooses.

use cutrickle_frame::{DeviceChoice, OpenedDevices};

use crate::Failure;

/// Opens the chosen devices. Logs a warning where `auto` found no GPU although this program was built for
/// one; a program that was built without CUDA has nothing to fall back from.
///
/// # Errors
/// A device that was named and cannot be opened.
pub fn open_devices(choice: &DeviceChoice) -> Result<OpenedDevices, Failure> {
    let opened = choice.open().map_err(|e| Failure::because("--device", e))?;
    let fallback = opened.fallback.filter(|_| cfg!(feature = "cuda"));
    if let Some(why) = &fallback {
        tracing::warn!("--device auto: on the CPU, for there is no GPU: {why}");
    }
    Ok(OpenedDevices { fallback, ..opened })
}
