//! A trickle server, and what a test does on its channels: it starts sessions between them, and publishes segments.

use bytes::Bytes;
use cutrickle_live::{StreamRequest, TrickleOptions};
use cutrickle_pipeline::{Metrics, MetricsRegistry, Params, Session, Stage, StreamOptions};
use cutrickle_trickle::{ClientConfig, Publisher, Server, ServerConfig};

use super::{Viewer, fates, until};

/// The channels of a trickle server on a port of its own.
pub struct Channels {
    base: String,
    _stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Channels {
    pub async fn new() -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default()).await.unwrap();
        let base = server.url();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { base, _stop: Some(stop) }
    }

    /// On a server that somebody else looks after.
    pub fn at(base: String) -> Self {
        Self { base, _stop: None }
    }

    pub fn url(&self, channel: &str) -> String {
        format!("{}/{channel}", self.base.trim_end_matches('/'))
    }

    /// Starts a session from channel `in` to channel `out`, and a viewer of `out`. The output's channel is there
    /// before, as a gateway makes it, so that the viewer misses nothing of it.
    pub async fn start(
        &self,
        stage: &impl Stage,
        params: serde_json::Value,
        options: StreamOptions,
    ) -> (Session, Viewer) {
        let params: Params = params.as_object().cloned().unwrap_or_default();
        let request = StreamRequest { params, ..self.request(&["in", "out"]) };
        self.open("out").await;
        (self.run(stage, request, options), Viewer::new(&self.url("out")))
    }

    /// A request for a stream that has just these of the channels `in`, `out`, `control`, `events` and `data`.
    pub fn request(&self, channels: &[&str]) -> StreamRequest {
        let url = |name| channels.contains(&name).then(|| self.url(name));
        StreamRequest {
            id: "test".into(),
            subscribe_url: url("in"),
            publish_url: url("out"),
            control_url: url("control"),
            events_url: url("events"),
            data_url: url("data"),
            params: Params::new(),
        }
    }

    pub fn run(&self, stage: &impl Stage, request: StreamRequest, options: StreamOptions) -> Session {
        self.run_with(stage, request, options, &TrickleOptions::default())
    }

    pub fn run_with(
        &self,
        stage: &impl Stage,
        request: StreamRequest,
        options: StreamOptions,
        trickle: &TrickleOptions,
    ) -> Session {
        let metrics = MetricsRegistry::new().unwrap();
        cutrickle_live::start(stage, request, options, trickle, &metrics).unwrap()
    }

    /// Publishes documents into a channel, as a gateway does.
    pub fn publisher(&self, channel: &str) -> Publisher {
        Publisher::new(&self.url(channel), "application/json", ClientConfig::default()).unwrap()
    }

    /// Makes a channel.
    pub async fn open(&self, channel: &str) {
        let mut publisher =
            Publisher::new(&self.url(channel), "video/MP2T", ClientConfig::default()).unwrap();
        publisher.create().await.unwrap();
    }

    pub fn source(&self) -> Source {
        let publisher = Publisher::new(&self.url("in"), "video/MP2T", ClientConfig::default()).unwrap();
        Source { publisher, sent: 0 }
    }
}

/// Publishes segments.
pub struct Source {
    publisher: Publisher,
    sent: u64,
}

impl Source {
    pub async fn send(&mut self, segment: &[u8]) {
        let mut writer = self.publisher.segment().await.unwrap();
        for part in segment.chunks(1316) {
            writer.write(Bytes::copy_from_slice(part)).await.unwrap();
        }
        writer.finish();
        self.sent += segment.len() as u64;
    }

    /// Waits until `session` has read all that was sent, and every frame of it has met its fate but for those that a
    /// decoder without a usable keyframe may swallow.
    pub async fn settled(&self, session: &Session) {
        let settled = |m: Metrics| {
            let in_flight = m.frames_in - fates(&m);
            m.input_bytes >= self.sent && (in_flight == 0 || (m.error_count > 0 && in_flight <= 32))
        };
        until(session, settled).await;
    }

    /// Sends each segment, and the next when the viewer has seen `frames` of it, as a source in real time would
    /// to a worker that keeps up.
    pub async fn send_all(&mut self, segments: &[Vec<u8>], viewer: &Viewer, frames: usize) {
        for (n, segment) in segments.iter().enumerate() {
            self.send(segment).await;
            viewer.frames((n + 1) * frames).await;
        }
    }

    /// Closes the channel, which discards what nobody has read yet: wait for that first.
    pub async fn end(self) {
        self.publisher.close().await.unwrap();
    }
}
