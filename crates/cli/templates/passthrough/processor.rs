//! What the worker does to frames: nothing yet.

use cutrickle::prelude::*;

/// Every stream has a clone of this, with its own state.
#[derive(Clone)]
struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        _: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        // `frame.tensor()?` is (height, width, 3), u8, and `frame.replace_tensor(pixels)?` replaces it. A
        // frame that is returned unchanged is not converted.
        Ok(Some(frame))
    }
}

pub fn processor() -> impl Stage {
    Passthrough
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_goes_out_as_it_came() -> Result<()> {
        let pixels = Tensor::full(100_u8, (32, 32, 3), &Device::Cpu)?;
        let timestamp = Timestamp::from_ticks(9000);
        let frame = VideoFrame::from_tensor(pixels, timestamp)?;
        let stream = StreamContext::new("test", Params::new(), Device::Cpu);
        let mut trial = Trial::start(&processor(), &stream).await?;
        let out = trial.process_video(frame).await?.ok_or("no frame")?;
        assert_eq!(
            (out.width(), out.height(), out.timestamp()),
            (32, 32, timestamp)
        );
        assert_eq!(
            out.tensor()?.flatten_all()?.to_vec1::<u8>()?,
            vec![100; 32 * 32 * 3]
        );
        Ok(())
    }
}
