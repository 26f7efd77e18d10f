//! Whoever listens to a channel beside the media.

use bytes::Bytes;
use cutrickle_trickle::{ClientConfig, Start, Subscriber};

use super::DEADLINE;

/// Reads a channel whose segments are documents: events, data.
pub struct Documents(tokio::sync::mpsc::UnboundedReceiver<Bytes>);

impl Documents {
    pub fn new(url: &str) -> Self {
        let config = ClientConfig { missing_grace: DEADLINE, ..ClientConfig::default() };
        let mut subscriber = Subscriber::new(url, Start::Seq(0), config).unwrap();
        let (documents, received) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(mut segment) = subscriber.next().await.unwrap() {
                let document = segment.collect(1 << 24).await.unwrap();
                if documents.send(document).is_err() {
                    return;
                }
            }
        });
        Self(received)
    }

    /// The next document; `None` at the end of the channel.
    pub async fn next(&mut self) -> Option<Bytes> {
        tokio::time::timeout(DEADLINE, self.0.recv()).await.expect("a document, or the channel's end")
    }

    /// The next document as JSON.
    pub async fn json(&mut self) -> serde_json::Value {
        serde_json::from_slice(&self.next().await.expect("a document")).expect("JSON")
    }
}
