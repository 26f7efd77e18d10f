//! Pictures go out as they came.

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Result};

/// Pictures go out as they came: decoded and encoded, their pixels never looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passthrough;

impl FrameProcessor for Passthrough {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking([])]
    }
}
