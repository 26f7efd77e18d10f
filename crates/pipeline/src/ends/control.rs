//! Where a stream's parameters come from, beside the caller's own.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use crate::stream::Stream;
use crate::{Error, Params, Result};

/// Where parameters come from. Its end is the end of the stream, as that of the input is.
pub trait ControlSource: Send + 'static {
    /// Hands every update to `control`, until there are no more.
    fn run(self, control: Control) -> impl Future<Output = Result<()>> + Send;
}

/// The way to a stream's parameters, for its [`ControlSource`].
#[derive(Debug)]
pub struct Control {
    pub(crate) stream: Arc<Stream>,
}

impl Control {
    /// New parameters for the stream, as [`Session::update_params`](crate::Session::update_params) takes them. Nobody waits
    /// for the processor's answer: a refusal is an error of the stream.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: a value of the wrong type, or a name that no part of the processor takes.
    pub fn update(&self, params: Params) -> Result<(), Error> {
        self.stream.update_params(params).map(drop)
    }

    /// Counts and logs an error that the stream survives.
    pub fn error(&self, what: impl Display) {
        self.stream.error(format_args!("control: {what}"));
    }
}
