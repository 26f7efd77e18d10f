//! Closures as processors.

use cutrickle_frame::VideoFrame;

use super::Part;
use crate::{FrameProcessor, Result};

/// A closure as a processor: [`from_fn`].
#[derive(Debug, Clone)]
pub struct FromFn<F>(F);

/// A processor that calls `process` for each picture; what it captures is cloned for each stream. Sound passes; it takes
/// no parameters.
///
/// ```
/// # use cutrickle_pipeline::compose::from_fn;
/// let mut seen = 0;
/// let first_hundred = from_fn(move |frame| {
///     seen += 1;
///     Ok((seen <= 100).then_some(frame))
/// });
/// ```
pub fn from_fn<F>(process: F) -> FromFn<F>
where
    F: FnMut(VideoFrame) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    FromFn(process)
}

impl<F> FrameProcessor for FromFn<F>
where
    F: FnMut(VideoFrame) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        (self.0)(frame)
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking([])]
    }
}
