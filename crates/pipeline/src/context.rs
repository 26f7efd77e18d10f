//! What a processor knows about its stream, and its access to the data and events channels.

use std::sync::Arc;

use candle_core::Device;
use serde::Serialize;
use serde_json::Value;

use crate::data::Emitter;
use crate::events::Event;
use crate::metrics::Recorder;
use crate::stream::Stream;
use crate::{Error, Params, Result};

/// A stream as its processor sees it. Cheap to clone, so background work can keep a copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamContext {
    /// The stream's name, as shown in logs, metrics and the status.
    pub id: String,
    /// The parameters the stream was started with, without those that the server itself handles.
    pub params: Params,
    /// The device of the stream's tensors.
    pub device: Device,
    emitter: Emitter,
    /// `None` when a processor is run without a stream.
    stream: Option<Arc<Stream>>,
}

impl StreamContext {
    /// Creates a context without a stream, for trying out a processor; what it emits is discarded.
    pub fn new(id: impl Into<String>, params: Params, device: Device) -> Self {
        Self { id: id.into(), params, device, emitter: Emitter::nowhere(), stream: None }
    }

    pub(crate) fn of(stream: &Arc<Stream>) -> Self {
        Self {
            emitter: stream.emitter(),
            stream: Some(Arc::clone(stream)),
            ..Self::new(&stream.id, stream.params(), stream.options.device.clone())
        }
    }

    /// Sends `value` as one line of JSON to the stream's data channel. Lines are sent in batches, a third of
    /// a second after the first line of each. Never waits: if the channel is slower than the processor, the
    /// oldest lines are dropped and counted. Without a data channel, lines are discarded.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if the value cannot be serialized to JSON, or if the line is longer than 64 KiB.
    pub fn emit(&self, value: &impl Serialize) -> Result<(), Error> {
        self.emitter.emit(value)
    }

    /// Sends a monitoring event to the stream's events channel: a JSON object with the fields of `data`, plus
    /// its `type`, which is `kind`, the time, and the stream's name. Never waits: events that the channel
    /// does not accept are dropped and counted. Without an events channel, events are discarded.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if `data` is not a JSON object.
    pub fn send_monitoring_event(&self, kind: impl Into<String>, data: &impl Serialize) -> Result<(), Error> {
        let value = serde_json::to_value(data)
            .map_err(|e| Error::invalid("the data of an event must be JSON").because(e))?;
        let Value::Object(fields) = value else {
            return Err(Error::invalid("the data of an event must be an object of JSON"));
        };
        if let Some(stream) = &self.stream {
            stream.event(Event::custom(kind.into(), fields));
        }
        Ok(())
    }

    /// Whether the stream's parameter `show_loading` is currently set.
    pub fn show_loading(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.settings().show_loading == Some(true))
    }

    /// The same stream for a part of a composition with the parameters `params`.
    #[must_use]
    pub(crate) fn with_params(&self, params: Params) -> Self {
        Self { params, ..self.clone() }
    }

    /// The recorder that counts the stream's frames.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.stream.as_ref().map(|stream| &stream.recorder)
    }

    /// Counts an error that no caller can receive.
    pub(crate) fn error(&self, what: impl std::fmt::Display) {
        match &self.stream {
            Some(stream) => stream.error(what),
            None => tracing::warn!(stream = %self.id, "{what}"),
        }
    }
}
