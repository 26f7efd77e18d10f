//! Where a model's weights come from.

use std::path::PathBuf;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use cutrickle_pipeline::{BoxError, Result};

/// Weights in the format of safetensors.
#[derive(Debug, Clone)]
pub enum Weights {
    /// A file, which is mapped into memory while the model is built, and must not be changed meanwhile. What is built has
    /// copies on its device.
    File(PathBuf),
    /// A part of the program, as `include_bytes!` gives it.
    Bytes(&'static [u8]),
}

impl Weights {
    /// The weights for building a model of `dtype` on `device`.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of the kind; the text says which.
    pub(crate) fn open(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        match self {
            Self::File(path) => {
                let failed = |e| self.failed(&e);
                // A missing file is said as the system says it, which candle's error does not.
                std::fs::File::open(path).map_err(|e| BoxError::from(format!("{}: {e}", path.display())))?;
                #[allow(unsafe_code, reason = "mapping a file is unsafe, since others may change it")]
                // SAFETY: the file is not changed while it is mapped, as `Weights::File` asks for.
                let file = unsafe { MmapedSafetensors::new(path) }.map_err(failed)?;
                Ok(VarBuilder::from_backend(Box::new(file), dtype, device.clone()))
            }
            Self::Bytes(bytes) => {
                VarBuilder::from_slice_safetensors(bytes, dtype, device).map_err(|e| self.failed(&e))
            }
        }
    }

    /// candle's word on these weights in one line: it may go on with where in its code that was.
    pub(crate) fn failed(&self, e: &candle_core::Error) -> BoxError {
        let text = e.to_string();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        match self {
            Self::File(path) => format!("{}: {line}", path.display()).into(),
            Self::Bytes(_) => format!("the weights: {line}").into(),
        }
    }
}
