//! What a stream's processor knows of its stream, and its ways to the channels beside the media.

use std::sync::Arc;

use candle_core::Device;
use serde::Serialize;
use serde_json::Value;

use crate::data::Emitter;
use crate::events::Event;
use crate::metrics::Recorder;
use crate::stream::Stream;
use crate::{Error, Params, Result};

/// A stream, as its processor sees it. Cheap to clone: work that goes on beside the stream keeps one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamContext {
    /// The stream's name, as in logs, metrics and the status.
    pub id: String,
    /// The parameters that the stream was started with, less those that the server itself answers.
    pub params: Params,
    /// Where the stream's tensors are.
    pub device: Device,
    emitter: Emitter,
    /// None where a processor is tried out.
    stream: Option<Arc<Stream>>,
}

impl StreamContext {
    /// A context without a stream, for trying a processor out: what it emits goes nowhere.
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

    /// Sends `value` as one line of JSON to the stream's data channel; lines go out in batches, a third of a second
    /// after the first of them. Never waits: where the channel is slower than the processor the oldest lines are
    /// dropped, and counted. A stream without a data channel takes and forgets them.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: something that is not JSON, or a line longer than 64 KiB.
    pub fn emit(&self, value: &impl Serialize) -> Result<(), Error> {
        self.emitter.emit(value)
    }

    /// Sends a monitoring event to the stream's events channel: an object with the fields of `data`, beside its `type`,
    /// which is `kind`, the time, and the stream's name. Never waits: events that the channel does not take are dropped,
    /// and counted. A stream without an events channel takes and forgets them.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: `data` is not an object of JSON.
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

    /// Whether the stream's parameter `show_loading` is set at this moment.
    pub fn show_loading(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.settings().show_loading == Some(true))
    }

    /// The same stream for a part of a composition, whose parameters are `params`.
    #[must_use]
    pub(crate) fn with_params(&self, params: Params) -> Self {
        Self { params, ..self.clone() }
    }

    /// What counts the stream's frames.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.stream.as_ref().map(|stream| &stream.recorder)
    }

    /// Counts an error that no call is left to return.
    pub(crate) fn error(&self, what: impl std::fmt::Display) {
        match &self.stream {
            Some(stream) => stream.error(what),
            None => tracing::warn!(stream = %self.id, "{what}"),
        }
    }
}
