//! How a stream comes to be, with the processor's type forgotten: everything behind it is the same for all
//! processors.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use cutrickle_pipeline::{
    Error, FrameProcessor, MetricsRegistry, Result, Session, StreamOptions, StreamRequest, initialize,
};

/// Starts a stream with a clone of the initialised prototype. Must be called on a tokio runtime, from where
/// blocking is allowed: the user's `clone` runs here.
pub(crate) type Launch = Box<dyn Fn(StreamRequest) -> Result<Session, Error> + Send + Sync>;

/// Initialises the prototype.
pub(crate) type Load = Box<
    dyn FnOnce(StreamOptions, MetricsRegistry) -> Pin<Box<dyn Future<Output = Result<Launch>> + Send>> + Send,
>;

pub(crate) fn loader<P: FrameProcessor>(processor: P) -> Load {
    Box::new(move |options, metrics| {
        Box::pin(async move {
            // The lock makes the prototype shareable; only starts take it.
            let prototype = Mutex::new(initialize(processor).await?);
            let launch: Launch = Box::new(move |request| {
                let prototype = prototype.lock().unwrap_or_else(PoisonError::into_inner);
                Session::start(&*prototype, request, options.clone(), &metrics)
            });
            Ok(launch)
        })
    })
}
