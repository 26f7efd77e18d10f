//! Direct connections to trickle channels, without the REST layer.

use std::ops::{Deref, DerefMut};

use cutrickle_pipeline::{Client, Error, Result, StreamOptions};

use crate::{StreamRequest, TrickleOptions};

/// Receives frames from one channel and sends frames to another: a [`Client`] between two trickle channels.
#[derive(Debug)]
pub struct TrickleClient(Client);

impl TrickleClient {
    /// Connects a client that reads from `subscribe_url` and writes to `publish_url`. Must be called on a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`] for a malformed URL.
    pub fn connect(subscribe_url: &str, publish_url: &str) -> Result<Self, Error> {
        let (options, trickle) = (StreamOptions::default(), TrickleOptions::default());
        Self::connect_with(Some(subscribe_url), Some(publish_url), options, &trickle)
    }

    /// Connects with options; either URL may be left out.
    ///
    /// # Errors
    /// [`Error::is_invalid`] for a malformed URL, or if both are missing.
    pub fn connect_with(
        subscribe_url: Option<&str>,
        publish_url: Option<&str>,
        options: StreamOptions,
        trickle: &TrickleOptions,
    ) -> Result<Self, Error> {
        let request = StreamRequest {
            subscribe_url: subscribe_url.map(Into::into),
            publish_url: publish_url.map(Into::into),
            ..StreamRequest::default()
        };
        Client::open(request.ends(trickle)?, options).map(Self)
    }

    /// Closes both sides in order: flushes what was published, then closes its channel.
    pub async fn close(self) {
        self.0.close().await;
    }
}

impl Deref for TrickleClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl DerefMut for TrickleClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}
