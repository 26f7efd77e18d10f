//! The events and data channels, whose segments are documents, each written whole.

use std::time::Duration;

use bytes::Bytes;
use cutrickle_error::chain;
use cutrickle_pipeline::Result;
use cutrickle_pipeline::ends::{DocumentSink, Documents, SinkEnd};
use cutrickle_trickle::{Error, Publisher};

use crate::TrickleOptions;
use crate::delivery::follow;

/// Closing a channel discards what has not been requested yet. Readers get this much time to request the last
/// document, because several documents may come at once.
const LINGER: Duration = Duration::from_millis(500);

/// A channel whose segments are documents.
#[derive(Debug)]
pub struct TrickleDocuments(Publisher);

impl TrickleDocuments {
    /// Opens the channel at `url`, whose documents have the type `content_type`.
    ///
    /// # Errors
    /// Fails for a malformed URL.
    pub fn new(url: &str, content_type: &str, options: &TrickleOptions) -> Result<Self, Error> {
        Publisher::new(url, content_type, options.output()).map(Self)
    }

    async fn send_all(&mut self, documents: &mut Documents) {
        while let Some(document) = documents.next().await {
            match self.send(document.body().clone()).await {
                Ok(()) => document.delivered(),
                Err(e) => document.lost(e),
            }
        }
    }

    /// Sends one document and waits until the server has it, even through an outage of the server. An error
    /// means that the document is lost.
    async fn send(&mut self, body: Bytes) -> Result<(), Error> {
        let mut segment = self.0.segment().await?;
        segment.write(body).await?;
        segment.delivered().await
    }
}

impl DocumentSink for TrickleDocuments {
    async fn run(mut self, mut documents: Documents) -> Result<SinkEnd> {
        let (outlet, delivery) = (documents.outlet(), self.0.delivery());
        tokio::select! {
            biased;
            ended = follow(&outlet, delivery) => return ended,
            () = self.send_all(&mut documents) => {}
        }
        tokio::time::sleep(LINGER).await;
        if let Err(e) = self.0.close().await {
            outlet.error(format_args!("ending it: {}", chain(&e)));
        }
        Ok(SinkEnd::Done)
    }
}
