//! What the worker does to pictures: nothing yet.

use cutrickle::prelude::*;

/// Every stream has a clone of this, with its own state.
#[derive(Clone)]
struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        // `frame.tensor()?` is (height, width, 3), u8; `frame.replace_tensor(pixels)?` takes it back. A frame that is
        // returned untouched is not converted.
        Ok(Some(frame))
    }
}

pub fn processor() -> impl FrameProcessor {
    Passthrough
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_picture_goes_out_as_it_came() -> Result<()> {
        let pixels = Tensor::full(100_u8, (32, 32, 3), &Device::Cpu)?;
        let frame = VideoFrame::from_tensor(pixels, 9000)?;
        let out = processor()
            .process_video(frame)
            .await?
            .ok_or("no picture")?;
        assert_eq!((out.width(), out.height(), out.timestamp()), (32, 32, 9000));
        assert_eq!(
            out.tensor()?.flatten_all()?.to_vec1::<u8>()?,
            vec![100; 32 * 32 * 3]
        );
        Ok(())
    }
}
