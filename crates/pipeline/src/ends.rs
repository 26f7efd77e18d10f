//! The ends of a stream: its input, its output, and the parameter, event and data channels.
//!
//! Each end is a task implemented elsewhere that receives a handle to the stream: [`Source`] and [`Sink`] for
//! the media, [`ControlSource`] for parameters, [`DocumentSink`] for events and data. A transport is an
//! implementation of these traits, and the rest of the pipeline knows nothing of its peers and protocols.

mod control;
mod documents;
pub mod memory;
mod outlet;
mod sink;
mod source;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::Result;

pub use control::{Control, ControlSource};
pub(crate) use documents::DocumentQueue;
pub use documents::{Document, DocumentSink, Documents};
pub(crate) use outlet::{Away, Channel};
pub use outlet::{Outlet, SinkEnd};
pub(crate) use sink::{Chunk, Chunks};
pub use sink::{Coded, Output, Sink};
pub use source::{Input, Source};

/// A task that is started with a handle of type `H`.
pub(crate) type Task<H, T> = Box<dyn FnOnce(H) -> Running<T> + Send>;
/// A running task. Boxed once for the life of a stream.
pub(crate) type Running<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// The ends of a stream. Each is optional, but a stream needs a source, a sink, or a data channel.
#[derive(Default)]
pub struct Ends {
    pub(crate) source: Option<Task<Input, ()>>,
    pub(crate) sink: Option<Task<Output, SinkEnd>>,
    pub(crate) control: Option<Task<Control, ()>>,
    pub(crate) events: Option<Task<Documents, SinkEnd>>,
    pub(crate) data: Option<Task<Documents, SinkEnd>>,
}

impl Ends {
    /// Creates an empty set of ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the media from `source`. Without a source, the processor generates them.
    #[must_use]
    pub fn with_source(self, source: impl Source) -> Self {
        Self { source: Some(Box::new(move |input| Box::pin(source.run(input)))), ..self }
    }

    /// Sends the media to `sink`. Without a sink, nothing is encoded.
    #[must_use]
    pub fn with_sink(self, sink: impl Sink) -> Self {
        Self { sink: Some(Box::new(move |output| Box::pin(sink.run(output)))), ..self }
    }

    /// Reads parameters from `control`, in addition to
    /// [`Session::update_params`](crate::Session::update_params).
    #[must_use]
    pub fn with_control(self, control: impl ControlSource) -> Self {
        Self { control: Some(Box::new(move |handle| Box::pin(control.run(handle)))), ..self }
    }

    /// Sends events and heartbeats to `events`.
    #[must_use]
    pub fn with_events(self, events: impl DocumentSink) -> Self {
        Self { events: Some(Box::new(move |documents| Box::pin(events.run(documents)))), ..self }
    }

    /// Sends the processor's data to `data`.
    #[must_use]
    pub fn with_data(self, data: impl DocumentSink) -> Self {
        Self { data: Some(Box::new(move |documents| Box::pin(data.run(documents)))), ..self }
    }

    pub(crate) fn are_missing(&self) -> bool {
        self.source.is_none() && self.sink.is_none() && self.data.is_none()
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends")
            .field("source", &self.source.is_some())
            .field("sink", &self.sink.is_some())
            .field("control", &self.control.is_some())
            .field("events", &self.events.is_some())
            .field("data", &self.data.is_some())
            .finish()
    }
}
