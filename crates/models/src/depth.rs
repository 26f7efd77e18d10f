//! What is shown of depth. The network is `depth_anything`'s.

use candle_core::{DType, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Answer, Inference};

/// A frame of the input's size: the nearest is white and the farthest black, or red and blue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DepthView;

/// What a stream's caller may say of it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "depth")]
pub(crate) struct DepthParams {
    /// Whether the nearest is red and the farthest blue, in the place of white and black.
    colours: bool,
}

impl Answer for DepthView {
    type Params = DepthParams;

    fn answer(&mut self, made: Inference<'_>, params: &DepthParams) -> Result<Option<VideoFrame>> {
        let (width, height) = (made.frame.width() as usize, made.frame.height() as usize);
        let near = from_least_to_most(&made.output)?.upsample_bilinear2d(height, width, true)?;
        let near = near.reshape((height, width, 1))?;
        let pixels = if params.colours { blue_to_red(&near)? } else { near };
        Ok(Some(made.frame.replace_tensor(pixels)?))
    }
}

/// 0 for the least of the values and 1 for the most, in f32; 0 where all are the same.
fn from_least_to_most(values: &Tensor) -> candle_core::Result<Tensor> {
    let values = values.to_dtype(DType::F32)?;
    let least = values.min_all()?;
    let range = ((values.max_all()? - &least)? + f64::from(f32::MIN_POSITIVE))?;
    values.broadcast_sub(&least)?.broadcast_div(&range)
}

/// (H, W, 1), 0 to 1, to (H, W, 3): blue, cyan, yellow, red, each channel a trapezium.
fn blue_to_red(near: &Tensor) -> candle_core::Result<Tensor> {
    let channel = |middle: f64| (1.5 - (near * 4.0)?.affine(1.0, -middle)?.abs()?)?.clamp(0f32, 1f32);
    Tensor::cat(&[channel(3.0)?, channel(2.0)?, channel(1.0)?], 2)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn values_are_spread_from_0_to_1_and_even_ones_are_0() {
        let spread = |values: [f32; 3]| {
            let values = Tensor::new(&values, &Device::Cpu).unwrap();
            from_least_to_most(&values).unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(spread([2.0, 6.0, 3.0]), [0.0, 1.0, 0.25]);
        assert_eq!(spread([7.0; 3]), [0.0; 3]);
    }

    #[test]
    fn the_nearest_is_red_and_the_farthest_blue() {
        let near = Tensor::new(&[[[0f32], [0.5], [1.0]]], &Device::Cpu).unwrap();
        let colours = blue_to_red(&near).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(colours, [[[0.0, 0.0, 0.5], [0.5, 1.0, 0.5], [0.5, 0.0, 0.0]]]);
    }
}
