//! Data about pictures instead of other pictures: lines of JSON on the stream's data channel.

use std::collections::BTreeMap;

use cutrickle::prelude::*;

/// Brightness and contrast of every `EVERY`th picture.
const EVERY: u32 = 15;

/// Small pictures are enough: (3, 90, 160), f32, 0 to 1.
fn input() -> ModelInput {
    ModelInput::new(160, 90)
}

#[derive(Clone, Default)]
struct Analytics {
    stream: Option<StreamContext>,
    pictures: u32,
}

/// Mean and standard deviation.
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
    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        *self = Self {
            stream: Some(stream.clone()),
            pictures: 0,
        };
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        if let Some(stream) = self
            .stream
            .as_ref()
            .filter(|_| self.pictures.is_multiple_of(EVERY))
        {
            let (brightness, contrast) = measure(&frame)?;
            stream.emit(&BTreeMap::from([
                ("pts", frame.pts()),
                ("brightness", brightness),
                ("contrast", contrast),
            ]))?;
        }
        self.pictures = self.pictures.wrapping_add(1);
        // A stream that is started without a `publish_url` sends no pictures at all.
        Ok(Some(frame))
    }
}

pub fn processor() -> impl FrameProcessor {
    Analytics::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_picture_is_measured_and_goes_out() -> Result<()> {
        let black = Tensor::zeros((90, 80, 3), DType::U8, &Device::Cpu)?;
        let white = Tensor::full(255_u8, (90, 80, 3), &Device::Cpu)?;
        let frame = VideoFrame::from_tensor(Tensor::cat(&[black, white], 1)?, 0)?;
        let (brightness, contrast) = measure(&frame)?;
        assert!(
            (brightness - 0.5).abs() < 0.01 && (contrast - 0.5).abs() < 0.01,
            "{brightness} {contrast}"
        );
        let mut processor = processor();
        processor
            .on_stream_start(&StreamContext::new("test", Params::new(), Device::Cpu))
            .await?;
        assert!(processor.process_video(frame).await?.is_some());
        Ok(())
    }
}
