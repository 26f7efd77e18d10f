//! Where a model's weights come from.

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use cutrickle_error::chain;
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
                let file = map(path).map_err(|e| self.failed(&e))?;
                Ok(VarBuilder::from_backend(Box::new(file), dtype, device.clone()))
            }
            Self::Bytes(bytes) => {
                VarBuilder::from_slice_safetensors(bytes, dtype, device).map_err(|e| self.failed(&e))
            }
        }
    }

    /// What `build` makes of the file at `path` where every tensor has its shape, and zeros for its elements: whether the
    /// file fits, before anything of size is read.
    ///
    /// # Errors
    /// A file that cannot be read, is none of the kind, or does not fit; the text names the file and the tensor.
    pub(crate) fn check<M>(
        path: &Path,
        build: impl FnOnce(VarBuilder<'_>) -> candle_core::Result<M>,
    ) -> Result<M> {
        let outline = map(path).and_then(|file| {
            build(VarBuilder::from_backend(Box::new(Outline(file)), DType::F32, Device::Cpu))
        });
        outline.map_err(|e| Self::File(path.into()).failed(&e))
    }

    /// candle's word on these weights in one line.
    pub(crate) fn failed(&self, e: &candle_core::Error) -> BoxError {
        let line = chain(e);
        match self {
            Self::File(path) => format!("{}: {line}", path.display()).into(),
            Self::Bytes(_) => format!("the weights: {line}").into(),
        }
    }
}

fn map(path: &Path) -> candle_core::Result<MmapedSafetensors> {
    // A missing file is said as the system says it, which candle's error does not.
    std::fs::File::open(path)?;
    #[allow(unsafe_code, reason = "mapping a file is unsafe, since others may change it")]
    // SAFETY: the file is not changed while it is mapped, as `Weights::File` asks for.
    unsafe {
        MmapedSafetensors::new(path)
    }
}

/// The names and shapes of a file's tensors, without their elements.
struct Outline(MmapedSafetensors);

impl SimpleBackend for Outline {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            let msg = format!("shape mismatch for {name}");
            let got = tensor.shape().clone();
            return Err(candle_core::Error::UnexpectedShape { msg, expected: shape, got });
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let shape = self.0.get(name)?.shape().to_vec();
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.get(name).is_ok()
    }
}
