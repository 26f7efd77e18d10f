//! The events and data channels, whose contents are documents. Each document is delivered whole.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Channel, Outlet, SinkEnd};
use crate::stream::Stream;
use crate::{BoxError, Result};

/// A sink for documents.
///
/// `run` ends when [`Documents::next`] returns `None`. An error ends the stream, with its output as the
/// cause.
pub trait DocumentSink: Send + 'static {
    /// Consumes all of `documents`.
    fn run(self, documents: Documents) -> impl Future<Output = Result<SinkEnd>> + Send;
}

/// The documents of a stream, for a [`DocumentSink`].
#[derive(Debug)]
pub struct Documents {
    outlet: Outlet,
    receiver: mpsc::Receiver<Document>,
}

/// One document. If it is dropped without an answer, it counts as lost.
#[derive(Debug)]
pub struct Document {
    body: Bytes,
    answer: oneshot::Sender<Result<()>>,
}

impl Documents {
    /// Returns the next document, or `None` when the stream has no more. Cancel safe.
    pub async fn next(&mut self) -> Option<Document> {
        self.receiver.recv().await
    }

    /// A handle to report the channel's condition to the stream.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }
}

impl Document {
    /// The contents of the document.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reports that the other side has the document.
    pub fn delivered(self) {
        // If the stream was abandoned, nobody waits for the answer.
        let _ = self.answer.send(Ok(()));
    }

    /// Reports that the other side will not get the document.
    pub fn lost(self, why: impl Into<BoxError>) {
        let _ = self.answer.send(Err(why.into()));
    }
}

/// The stream's end of a document channel.
#[derive(Debug)]
pub(crate) struct DocumentQueue(mpsc::Sender<Document>);

impl DocumentQueue {
    pub(crate) fn new(stream: &Arc<Stream>, channel: Channel) -> (Self, Documents) {
        // One at a time, because the sender waits for delivery.
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), Documents { outlet: Outlet { stream: Arc::clone(stream), channel }, receiver })
    }

    /// Whether nobody takes documents any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends one document and waits until it is delivered, even through an outage. An error means that it is
    /// lost.
    pub(crate) async fn send(&self, body: Bytes) -> Result<()> {
        let (answer, delivered) = oneshot::channel();
        let closed = || BoxError::from("the channel is closed");
        self.0.send(Document { body, answer }).await.map_err(|_| closed())?;
        delivered.await.unwrap_or_else(|_| Err(closed()))
    }
}
