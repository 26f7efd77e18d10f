//! A network with weights from a file, on every picture.
//!
//! The network here sharpens with one convolution, so that there is something to see. Put your own in its place, and its
//! weights in `weights/model.safetensors`.

use cutrickle::prelude::candle_nn::{self, Conv2d, Conv2dConfig, Module, VarBuilder};
use cutrickle::prelude::*;

static WEIGHTS: &[u8] = include_bytes!("../weights/model.safetensors");

/// (1, 3, height, width) to the same.
struct Network {
    sharpen: Conv2d,
}

impl Network {
    fn new(weights: VarBuilder<'_>) -> cutrickle::candle_core::Result<Self> {
        let config = Conv2dConfig {
            padding: 1,
            ..Conv2dConfig::default()
        };
        Ok(Self {
            sharpen: candle_nn::conv2d_no_bias(3, 3, 3, config, weights.pp("sharpen"))?,
        })
    }
}

impl Module for Network {
    fn forward(&self, picture: &Tensor) -> cutrickle::candle_core::Result<Tensor> {
        self.sharpen.forward(picture)
    }
}

pub fn processor() -> impl FrameProcessor {
    // What the network takes: frames at their own size, as (1, 3, height, width), f32, 0 to 1.
    CandleModel::load(
        Weights::Bytes(WEIGHTS),
        ModelInput::default(),
        Network::new,
        as_picture,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edge_becomes_stronger() -> Result<()> {
        let dark = Tensor::full(100_u8, (32, 16, 3), &Device::Cpu)?;
        let light = Tensor::full(150_u8, (32, 16, 3), &Device::Cpu)?;
        let mut processor = processor();
        processor.initialize(&Device::Cpu).await?;
        processor
            .on_stream_start(&StreamContext::new("test", Params::new(), Device::Cpu))
            .await?;
        let frame = VideoFrame::from_tensor(Tensor::cat(&[dark, light], 1)?, 0)?;
        let out = processor.process_video(frame).await?.ok_or("no picture")?;
        // The convolution is 5 in the middle and -1 on each of the four sides.
        let row = out
            .tensor()?
            .get(16)?
            .narrow(1, 0, 1)?
            .flatten_all()?
            .to_dtype(DType::F32)?
            .to_vec1::<f32>()?;
        let near = |at: usize, wanted: f32| {
            row.get(at)
                .is_some_and(|value| (value - wanted).abs() < 1.0)
        };
        assert!(
            near(8, 100.0) && near(15, 50.0) && near(16, 200.0) && near(24, 150.0),
            "{row:?}"
        );
        Ok(())
    }
}
