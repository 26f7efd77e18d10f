//! A neural network with weights from a file, which is run on every frame.
//!
//! This network sharpens with one convolution, so that there is something to see. Replace it by your own, and
//! its weights in `weights/model.safetensors` too.

use cutrickle::prelude::candle_nn::{self, Conv2d, Conv2dConfig, Module, VarBuilder};
use cutrickle::prelude::*;

static WEIGHTS: &[u8] = include_bytes!("../weights/model.safetensors");

/// Turns (1, 3, height, width) into the same shape.
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
    fn forward(&self, frame: &Tensor) -> cutrickle::candle_core::Result<Tensor> {
        self.sharpen.forward(frame)
    }
}

pub fn processor() -> impl Stage {
    // What the network takes: frames at their own size, as (1, 3, height, width), f32, 0 to 1.
    let input = ModelInput::default();
    CandleModel::load(Weights::Bytes(WEIGHTS), input, Network::new).answering(as_picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edge_becomes_stronger() -> Result<()> {
        let dark = Tensor::full(100_u8, (32, 16, 3), &Device::Cpu)?;
        let light = Tensor::full(150_u8, (32, 16, 3), &Device::Cpu)?;
        let stream = StreamContext::new("test", Params::new(), Device::Cpu);
        let processor = cutrickle::initialize(processor(), &stream.device).await?;
        let mut trial = Trial::start(&processor, &stream).await?;
        let frame = VideoFrame::try_from(Tensor::cat(&[dark, light], 1)?)?;
        let out = trial.process_video(frame).await?.ok_or("no frame")?;
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
