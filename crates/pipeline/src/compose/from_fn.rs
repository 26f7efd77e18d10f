//! Closures as processors.

use cutrickle_frame::VideoFrame;

use crate::{FrameProcessor, NoParams, Result, StreamContext, TypedParams};

/// A processor made from a closure: see [`from_fn`].
#[derive(Debug, Clone)]
pub struct FromFn<F>(F, NoParams);

/// Creates a processor that calls `process` for each frame. What the closure captures is cloned for each
/// stream. Audio passes through, and there are no parameters.
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
    FromFn(process, NoParams {})
}

impl<F> FrameProcessor for FromFn<F>
where
    F: FnMut(VideoFrame) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        (self.0)(frame)
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.1)
    }
}
