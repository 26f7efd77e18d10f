//! The source of a stream's parameters, apart from the caller's own updates.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use crate::stream::Stream;
use crate::{Error, Params, Result};

/// A source of parameters. When it ends, the stream ends, as with the input.
pub trait ControlSource: Send + 'static {
    /// Passes every update to `control` until there are no more.
    fn run(self, control: Control) -> impl Future<Output = Result<()>> + Send;
}

/// A [`ControlSource`]'s handle to the parameters of its stream.
#[derive(Debug)]
pub struct Control {
    pub(crate) stream: Arc<Stream>,
}

impl Control {
    /// Updates the stream's parameters, like [`Session::update_params`](crate::Session::update_params). The
    /// processor's answer is not awaited; if it rejects them, that is an error of the stream.
    ///
    /// # Errors
    /// [`Error::is_invalid`] for a value of the wrong type, or a name that no part of the processor accepts.
    pub fn update(&self, params: Params) -> Result<(), Error> {
        self.stream.update_params(params).map(drop)
    }

    /// Counts and logs an error that does not end the stream.
    pub fn error(&self, what: impl Display) {
        self.stream.error(format_args!("control: {what}"));
    }
}
