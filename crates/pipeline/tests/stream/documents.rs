//! Ends beside the media: whoever collects a stream's events or data, and whoever tells it parameters.

use bytes::Bytes;
use cutrickle_error::chain;
use cutrickle_pipeline::ends::{Control, ControlSource, DocumentSink, Documents, SinkEnd};
use cutrickle_pipeline::{Params, Result};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{params_of, within};

/// What a stream has told.
pub struct Collected(mpsc::UnboundedReceiver<Bytes>);

struct Collector(mpsc::UnboundedSender<Bytes>);

/// An end that collects documents, and what it has collected.
pub fn collector() -> (impl DocumentSink, Collected) {
    let (documents, collected) = mpsc::unbounded_channel();
    (Collector(documents), Collected(collected))
}

impl DocumentSink for Collector {
    async fn run(self, mut documents: Documents) -> Result<SinkEnd> {
        while let Some(document) = documents.next().await {
            self.0.send(document.body().clone())?;
            document.delivered();
        }
        Ok(SinkEnd::Done)
    }
}

impl Collected {
    /// The next document; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Bytes> {
        within("a document, or the end of them", self.0.recv()).await
    }

    /// The lines of JSON in all the documents that are still to come.
    pub async fn lines(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(document) = self.next().await {
            let of_one = document.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.extend(of_one.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
        }
        lines
    }
}

/// Tells a stream parameters.
pub struct Told(mpsc::UnboundedSender<Params>);

struct Teller(mpsc::UnboundedReceiver<Params>);

/// An end that parameters come from, and what makes them come.
pub fn teller() -> (Told, impl ControlSource) {
    let (params, told) = mpsc::unbounded_channel();
    (Told(params), Teller(told))
}

impl Told {
    pub fn tell(&self, params: Value) {
        self.0.send(params_of(params)).unwrap();
    }
}

impl ControlSource for Teller {
    async fn run(mut self, control: Control) -> Result<()> {
        while let Some(params) = self.0.recv().await {
            if let Err(e) = control.update(params) {
                control.error(chain(&e));
            }
        }
        Ok(())
    }
}
