//! Sends frames out as they came.

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, TypedParams};

use super::no_params;

/// Sends frames out as they came: decoded and encoded, their pixels never looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        no_params()
    }
}
