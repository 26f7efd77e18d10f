//! What is answered of a model's output.

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{Params, Result};

use crate::Inference;

/// Makes a processor's answer of a model's output: a closure, or something that takes parameters. Each stream has its own
/// copy.
pub trait Answer: Clone + Send + 'static {
    /// What is answered: a picture, or none.
    ///
    /// # Errors
    /// Its own; the picture is lost by it.
    fn answer(&mut self, made: Inference<'_>) -> Result<Option<VideoFrame>>;

    /// Takes what it knows of a stream's parameters, when the stream starts and whenever some arrive.
    ///
    /// # Errors
    /// A value that cannot be; then nothing is changed.
    fn set(&mut self, params: &Params) -> Result<()> {
        let _ = params;
        Ok(())
    }

    /// The parameters that it takes: none, unless it says otherwise.
    fn part(&self) -> Part {
        Part::taking([])
    }
}

impl<F> Answer for F
where
    F: FnMut(Inference<'_>) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    fn answer(&mut self, made: Inference<'_>) -> Result<Option<VideoFrame>> {
        self(made)
    }
}
