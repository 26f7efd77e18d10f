//! Sound changed, pictures left as they are: the parameter `volume`, 0 to 2.

use cutrickle::prelude::*;

#[derive(Clone)]
struct Volume(f64);

impl FrameProcessor for Volume {
    async fn update_params(&mut self, params: &Params) -> Result<()> {
        if let Some(value) = params.get("volume") {
            // An error refuses the parameters: the caller gets it with a 400, and the stream goes on.
            self.0 = value
                .as_f64()
                .filter(|v| (0.0..=2.0).contains(v))
                .ok_or("`volume` is 0 to 2")?;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        // Untouched sound is sent on as the packet that it came in.
        if self.0 == 1.0 {
            return Ok(vec![frame]);
        }
        let samples = frame.tensor()?; // (channels, samples), f32, -1.0 to 1.0
        let louder = (samples * self.0)?.clamp(-1.0, 1.0)?;
        Ok(vec![frame.replace_tensor(louder)?])
    }
}

pub fn processor() -> impl FrameProcessor {
    Volume(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn half_the_volume_is_half_the_sample() -> Result<()> {
        let mut processor = processor();
        processor
            .update_params(&Params::from_iter([("volume".to_owned(), 0.5.into())]))
            .await?;
        let samples = Tensor::full(0.5_f32, (2, 960), &Device::Cpu)?;
        let out = processor
            .process_audio(AudioFrame::from_tensor(samples, 48_000, 0)?)
            .await?;
        let first = out.first().ok_or("no sound")?.tensor()?;
        assert_eq!(first.flatten_all()?.to_vec1::<f32>()?, vec![0.25; 2 * 960]);
        Ok(())
    }
}
