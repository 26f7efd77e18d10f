//! Data about frames instead of other frames: lines of JSON on the stream's data channel.

use std::collections::BTreeMap;

use cutrickle::prelude::*;

/// The brightness and contrast of every `EVERY`th frame are measured.
const EVERY: u32 = 15;

/// Small frames are enough: (3, 90, 160), f32, 0 to 1.
fn input() -> ModelInput {
    ModelInput::new(160, 90)
}

#[derive(Clone, Default)]
struct Analytics {
    frames: u32,
}

/// The mean and the standard deviation.
fn measure(frame: &VideoFrame) -> Result<(f64, f64)> {
    let pixels = frame.to_model(&input())?;
    let mean = pixels.mean_all()?;
    let deviation = pixels.broadcast_sub(&mean)?.sqr()?.mean_all()?.sqrt()?;
    Ok((
        f64::from(mean.to_scalar::<f32>()?),
        f64::from(deviation.to_scalar::<f32>()?),
    ))
}

impl FrameProcessor for Analytics {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        if self.frames.is_multiple_of(EVERY) {
            let (brightness, contrast) = measure(&frame)?;
            stream.emit(&BTreeMap::from([
                ("pts", frame.pts()),
                ("brightness", brightness),
                ("contrast", contrast),
            ]))?;
        }
        self.frames = self.frames.wrapping_add(1);
        // A stream that is started without a `publish_url` sends no video at all.
        Ok(Some(frame))
    }
}

pub fn processor() -> impl Stage {
    Analytics::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_measured_and_goes_out() -> Result<()> {
        let black = Tensor::zeros((90, 80, 3), DType::U8, &Device::Cpu)?;
        let white = Tensor::full(255_u8, (90, 80, 3), &Device::Cpu)?;
        let frame = VideoFrame::try_from(Tensor::cat(&[black, white], 1)?)?;
        let (brightness, contrast) = measure(&frame)?;
        assert!(
            (brightness - 0.5).abs() < 0.01 && (contrast - 0.5).abs() < 0.01,
            "{brightness} {contrast}"
        );
        let stream = StreamContext::new("test", Params::new(), Device::Cpu);
        let mut trial = Trial::start(&processor(), &stream).await?;
        assert!(trial.process_video(frame).await?.is_some());
        Ok(())
    }
}
