//! Changes the volume of the audio and leaves the video as it is.

use cutrickle::prelude::*;

/// Every stream has a clone of this, with its own parameters.
#[derive(Clone)]
struct Volume {
    params: VolumeParams,
}

/// The parameters of a stream. Values of another type or outside of the range are refused with a 400, and the
/// stream goes on.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "cutrickle::serde")]
#[schemars(crate = "cutrickle::schemars")]
struct VolumeParams {
    /// How loud the audio is: 0 is silent, 1 is unchanged.
    #[schemars(range(min = 0.0, max = 2.0))]
    volume: f64,
}

impl FrameProcessor for Volume {
    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }

    async fn process_video(
        &mut self,
        frame: VideoFrame,
        _: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn process_audio(
        &mut self,
        frame: AudioFrame,
        _: &StreamContext,
    ) -> Result<Vec<AudioFrame>> {
        // Unchanged audio is sent on as the packet that it came in.
        if self.params.volume == 1.0 {
            return Ok(vec![frame]);
        }
        let samples = frame.tensor()?; // (channels, samples), f32, -1.0 to 1.0
        let louder = (samples * self.params.volume)?.clamp(-1.0, 1.0)?;
        Ok(vec![frame.replace_tensor(louder)?])
    }
}

pub fn processor() -> impl Stage {
    Volume {
        params: VolumeParams { volume: 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(volume: f64) -> Params {
        Params::from_iter([("volume".to_owned(), volume.into())])
    }

    #[tokio::test]
    async fn half_the_volume_is_half_the_sample() -> Result<()> {
        let stream = StreamContext::new("test", volume(0.5), Device::Cpu);
        let mut trial = Trial::start(&processor(), &stream).await?;
        let samples = Tensor::full(0.5_f32, (2, 960), &Device::Cpu)?;
        let out = trial
            .process_audio(AudioFrame::from_tensor(samples, 48_000, Timestamp::ZERO)?)
            .await?;
        let first = out.first().ok_or("no audio")?.tensor()?;
        assert_eq!(first.flatten_all()?.to_vec1::<f32>()?, vec![0.25; 2 * 960]);
        assert!(trial.update_params(&volume(3.0)).await.is_err());
        Ok(())
    }
}
