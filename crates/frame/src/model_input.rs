//! Converts a frame to a model's input. The loops over pixels are in `model_pass`, the resampling in
//! `resample`.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use cutrickle_media::{Element, ModelInput, Size};
use half::{bf16, f16};

use crate::model_pass::{self, Source};
use crate::{Error, I420, Result, VideoFrame};

/// candle's type for tensors with elements of type `element`.
pub fn dtype_of(element: Element) -> DType {
    match element {
        Element::U8 => DType::U8,
        Element::F16 => DType::F16,
        Element::Bf16 => DType::BF16,
        Element::F32 => DType::F32,
    }
}

/// The element type of tensors of candle's type `dtype`; `None` for types that are not used for pixels.
pub fn element_of(dtype: DType) -> Option<Element> {
    match dtype {
        DType::U8 => Some(Element::U8),
        DType::F16 => Some(Element::F16),
        DType::BF16 => Some(Element::Bf16),
        DType::F32 => Some(Element::F32),
        _ => None,
    }
}

impl VideoFrame {
    /// Converts the pixels to a model's input on the frame's device, in one pass over colour, cropping, size,
    /// normalisation, order and type. If the pixels were not replaced, it reads the decoder's own picture.
    ///
    /// Each axis is scaled bilinearly when enlarging and by averaging the covered pixels when shrinking. If
    /// the stream does not give the chroma position, H.264's default is used (E.2.1, `chroma_sample_loc_type`
    /// 0): on the even columns, midway between two rows.
    ///
    /// # Errors
    /// Fails for a side of 0 or above 16384, a `std` of 0, a `mean` or `std` for u8, or if the conversion or
    /// the device fails.
    pub fn to_model(&self, input: &ModelInput) -> Result<Tensor> {
        if let Some(Size { width, height }) = input.size {
            I420::check_size(width as usize, height as usize)?;
        }
        input.check().map_err(Error::new)?;
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
    let tensor = match input.element {
        Element::U8 => Tensor::from_vec(model_pass::run::<u8>(source, input), &shape, &Device::Cpu),
        Element::F16 => Tensor::from_vec(model_pass::run::<f16>(source, input), &shape, &Device::Cpu),
        Element::Bf16 => Tensor::from_vec(model_pass::run::<bf16>(source, input), &shape, &Device::Cpu),
        Element::F32 => Tensor::from_vec(model_pass::run::<f32>(source, input), &shape, &Device::Cpu),
    };
    Ok(tensor?)
}

#[cfg(test)]
mod tests {
    use cutrickle_media::{Colour, Timestamp};

    use super::*;

    fn refusal(input: ModelInput) -> String {
        let frame = VideoFrame::from_i420(I420::new(4, 4).unwrap(), Colour::BT709, Timestamp::ZERO);
        frame.to_model(&input).unwrap_err().to_string()
    }

    #[test]
    fn what_no_model_can_take_is_refused_by_name() {
        let right = ModelInput::new(8, 8);
        assert!(refusal(ModelInput { std: [1.0, 0.0, 1.0], ..right }).contains("0.0"));
        assert!(refusal(ModelInput { mean: [f32::NAN, 0.0, 0.0], ..right }).contains("NaN"));
        assert!(refusal(ModelInput { element: Element::U8, mean: [0.5; 3], ..right }).contains("u8"));
        assert!(refusal(ModelInput::new(0, 8)).contains("0x8"));
        assert!(refusal(ModelInput::new(8, 20_000)).contains("8x20000"));
    }
}
