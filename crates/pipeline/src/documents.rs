//! A channel whose segments are documents: each is written whole, in one piece.

use std::time::Duration;

use bytes::Bytes;
use cutrickle_trickle::{Delivery, Error, Publisher};
use tokio::sync::watch;

/// Closing a channel discards what nobody has asked for yet. Readers of documents, several of which may come at once,
/// get so long to ask for the last one.
const LINGER: Duration = Duration::from_millis(500);

/// Publishes documents.
pub(crate) struct Documents(Publisher);

impl Documents {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self(publisher)
    }

    /// Whether documents get to their server.
    pub(crate) fn delivery(&self) -> watch::Receiver<Delivery> {
        self.0.delivery()
    }

    /// Sends one document and waits until the server has it, also through an outage of the server. An error means that
    /// it is lost.
    pub(crate) async fn send(&mut self, document: Bytes) -> Result<(), Error> {
        let mut segment = self.0.segment().await?;
        segment.write(document).await?;
        segment.delivered().await
    }

    /// Ends the channel.
    pub(crate) async fn close(self) -> Result<(), Error> {
        tokio::time::sleep(LINGER).await;
        self.0.close().await
    }
}
