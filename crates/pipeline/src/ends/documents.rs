//! Channels beside the media, whose content is documents: events, and data. Each is handed over whole.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Channel, Outlet, SinkEnd};
use crate::stream::Stream;
use crate::{BoxError, Result};

/// Where documents go.
///
/// `run` ends when [`Documents::next`] has nothing more. An error ends the stream because of its output.
pub trait DocumentSink: Send + 'static {
    /// Takes everything that `documents` gives.
    fn run(self, documents: Documents) -> impl Future<Output = Result<SinkEnd>> + Send;
}

/// The documents of a stream, for a [`DocumentSink`].
#[derive(Debug)]
pub struct Documents {
    outlet: Outlet,
    receiver: mpsc::Receiver<Document>,
}

/// One document. Dropped without a word it counts as lost.
#[derive(Debug)]
pub struct Document {
    body: Bytes,
    answer: oneshot::Sender<Result<()>>,
}

impl Documents {
    /// The next document; `None` when the stream has no more. Safe to cancel.
    pub async fn next(&mut self) -> Option<Document> {
        self.receiver.recv().await
    }

    /// By which to tell the stream how the channel is doing.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }
}

impl Document {
    /// What is in it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The other side has it.
    pub fn delivered(self) {
        // Nobody waits for it any more where the stream was abandoned.
        let _ = self.answer.send(Ok(()));
    }

    /// The other side will not get it.
    pub fn lost(self, why: impl Into<BoxError>) {
        let _ = self.answer.send(Err(why.into()));
    }
}

/// The stream's end of a channel of documents.
#[derive(Debug)]
pub(crate) struct DocumentQueue(mpsc::Sender<Document>);

impl DocumentQueue {
    pub(crate) fn new(stream: &Arc<Stream>, channel: Channel) -> (Self, Documents) {
        // One at a time: whoever sends waits for its delivery.
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), Documents { outlet: Outlet { stream: Arc::clone(stream), channel }, receiver })
    }

    /// Whether nobody takes documents any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Hands one over and waits until it is delivered, also through an outage. An error means that it is lost.
    pub(crate) async fn send(&self, body: Bytes) -> Result<()> {
        let (answer, delivered) = oneshot::channel();
        let closed = || BoxError::from("the channel is closed");
        self.0.send(Document { body, answer }).await.map_err(|_| closed())?;
        delivered.await.unwrap_or_else(|_| Err(closed()))
    }
}
