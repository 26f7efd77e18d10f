//! What a model takes, and a frame brought to it. The loops over pixels are `model_pass`'s, the arithmetic of
//! samples `resample`'s.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use cutrickle_cuda::kernels::{Fit, Layout};
use half::{bf16, f16};

use crate::model_pass::{self, Source};
use crate::{Error, I420, Result, VideoFrame};

/// What a model takes: R'G'B' 0 to 1, less `mean`, divided by `std`.
///
/// ```
/// use cutrickle_frame::{Fit, ModelInput};
///
/// let input = ModelInput {
///     fit: Fit::Crop,
///     mean: [0.485, 0.456, 0.406],
///     std: [0.229, 0.224, 0.225],
///     ..ModelInput::new(224, 224)
/// };
/// assert_eq!(input.shape(1280, 720), [3, 224, 224]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelInput {
    /// Width and height in pixels; `None` takes each frame's own.
    pub size: Option<(u32, u32)>,
    /// How a picture of another shape is fitted.
    pub fit: Fit,
    /// Order of elements.
    pub layout: Layout,
    /// Type of elements: `F32`, `F16`, `BF16`; or `U8`, which is R'G'B' 0 to 255 and has no `mean` and `std`.
    pub dtype: DType,
    /// Taken away from R'G'B' 0 to 1.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

impl Default for ModelInput {
    /// Frames at their own size, as (3, height, width), f32, 0 to 1.
    fn default() -> Self {
        Self {
            size: None,
            fit: Fit::Stretch,
            layout: Layout::Chw,
            dtype: DType::F32,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }
}

impl ModelInput {
    /// Frames stretched to `width` x `height`, as (3, height, width), f32, 0 to 1.
    pub fn new(width: u32, height: u32) -> Self {
        Self { size: Some((width, height)), ..Self::default() }
    }

    /// The tensor's shape for a frame of `width` x `height`.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 3] {
        let (width, height) = self.size.unwrap_or((width, height));
        match self.layout {
            Layout::Chw => [3, height as usize, width as usize],
            Layout::Hwc => [height as usize, width as usize, 3],
        }
    }

    fn check(&self) -> Result<()> {
        if let Some((width, height)) = self.size {
            I420::check_size(width as usize, height as usize)?;
        }
        let Self { dtype, mean, std, .. } = self;
        if !std.iter().all(|std| std.is_normal()) || !mean.iter().all(|mean| mean.is_finite()) {
            return Err(Error::new(format!(
                "a model's input with a mean of {mean:?} and a standard deviation of {std:?}"
            )));
        }
        if *dtype == DType::U8 && (*mean != [0.0; 3] || *std != [1.0; 3]) {
            return Err(Error::new(
                "a model's input of u8 with a mean and a standard deviation: floats have them",
            ));
        }
        Ok(())
    }
}

impl VideoFrame {
    /// The pixels as a model takes them, on the frame's device, in one pass: colour, cropping, size,
    /// normalisation, order and type. From the decoder's own picture where the frame's pixels were not replaced.
    ///
    /// Each axis is bilinear where it grows and the mean of what a pixel covers where it shrinks. Chroma is taken
    /// from where H.264 says it lies if the stream does not (E.2.1, `chroma_sample_loc_type` 0): on the even
    /// columns, midway between two rows.
    ///
    /// # Errors
    /// A side of 0 or above 16384; a type that is none of the four; a `std` of 0; a `mean` or `std` for u8; the
    /// conversion's, or the device's.
    pub fn to_model(&self, input: &ModelInput) -> Result<Tensor> {
        input.check()?;
        #[cfg(feature = "cuda")]
        if let Some(tensor) = self.to_model_on_device(input)? {
            return Ok(tensor);
        }
        Ok(self.to_model_on_host(input)?.to_device(self.device())?)
    }

    fn to_model_on_host(&self, input: &ModelInput) -> Result<Tensor> {
        if !self.is_replaced() {
            let picture = self.i420()?;
            return convert(&Source::Picture(&picture, self.colour()), input);
        }
        let rgb = self.tensor()?.to_device(&Device::Cpu)?.contiguous()?;
        let (height, width, channels) = rgb.dims3()?;
        let (storage, layout) = rgb.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::U8(all)), Some((start, end))) if end <= all.len() => {
                convert(&Source::Rgb { pixels: &all[start..end], width, height, channels }, input)
            }
            _ => Err(Error::new("pixels that are not u8 in host memory")),
        }
    }
}

fn convert(source: &Source<'_>, input: &ModelInput) -> Result<Tensor> {
    let (width, height) = source.size();
    let shape = input.shape(width, height);
    let tensor = match input.dtype {
        DType::U8 => Tensor::from_vec(model_pass::run::<u8>(source, input), &shape, &Device::Cpu),
        DType::F16 => Tensor::from_vec(model_pass::run::<f16>(source, input), &shape, &Device::Cpu),
        DType::BF16 => Tensor::from_vec(model_pass::run::<bf16>(source, input), &shape, &Device::Cpu),
        DType::F32 => Tensor::from_vec(model_pass::run::<f32>(source, input), &shape, &Device::Cpu),
        other => {
            return Err(Error::new(format!(
                "a model's input of {other:?}: u8, f16, bf16 and f32 are possible"
            )));
        }
    };
    Ok(tensor?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Colour;

    fn refusal(input: ModelInput) -> String {
        let frame = VideoFrame::from_i420(I420::new(4, 4).unwrap(), Colour::BT709, 0);
        frame.to_model(&input).unwrap_err().to_string()
    }

    #[test]
    fn what_no_model_can_take_is_refused_by_name() {
        let right = ModelInput::new(8, 8);
        assert!(refusal(ModelInput { std: [1.0, 0.0, 1.0], ..right }).contains("0.0"));
        assert!(refusal(ModelInput { mean: [f32::NAN, 0.0, 0.0], ..right }).contains("NaN"));
        assert!(refusal(ModelInput { dtype: DType::I64, ..right }).contains("I64"));
        assert!(refusal(ModelInput { dtype: DType::U8, mean: [0.5; 3], ..right }).contains("u8"));
        assert!(refusal(ModelInput::new(0, 8)).contains("0x8"));
        assert!(refusal(ModelInput::new(8, 20_000)).contains("8x20000"));
    }
}
