//! The page of the demonstration: the page itself, and the two channels as endless bodies for its players.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use cutrickle_error::chain;
use cutrickle_trickle::{ClientConfig, Start, Subscriber};
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::source::CONTENT_TYPE;

/// What the page needs to know.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The base URL of the worker.
    pub worker: String,
    /// The name of the processor.
    pub processor: String,
    /// The URL of the input channel.
    pub input: String,
    /// The URL of the output channel.
    pub output: String,
}

/// How many chunks may wait for the connection of a viewer. A viewer that is slower falls behind the window
/// of the channel, and continues at its newest segment.
const WAITING_CHUNKS: usize = 64;

/// The routes of the page.
pub fn routes(told: Told) -> Router {
    let script =
        ([(header::CONTENT_TYPE, "text/javascript")], include_str!("../../../assets/page/mpegts.js"));
    Router::new()
        .route("/", get(|| async { Html(include_str!("../../../assets/page/index.html")) }))
        .route("/mpegts.js", get(move || async move { script }))
        .route("/demo.json", get(|State(told): State<Told>| async { Json(told) }))
        .route("/watch/input.ts", get(|State(told): State<Told>| async move { watch(told.input) }))
        .route("/watch/output.ts", get(|State(told): State<Told>| async move { watch(told.output) }))
        .with_state(told)
}

/// The segments of a channel, one after the other, from the current one on.
fn watch(url: String) -> Response {
    let (chunks, body) = mpsc::channel(WAITING_CHUNKS);
    tokio::spawn(async move {
        tokio::select! {
            // The viewer has left.
            () = chunks.closed() => {}
            ended = follow(&url, &chunks) => if let Err(e) = ended {
                tracing::warn!("a viewer's stream ended: {}", chain(&e));
            },
        }
    });
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(Chunks(body))).into_response()
}

async fn follow(url: &str, chunks: &mpsc::Sender<Bytes>) -> Result<(), cutrickle_trickle::Error> {
    let mut channel = Subscriber::new(url, Start::Current, ClientConfig::default())?;
    while let Some(mut segment) = channel.next().await? {
        while let Some(chunk) = segment.chunk().await {
            if chunks.send(chunk).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Chunks(mpsc::Receiver<Bytes>);

impl Stream for Chunks {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(Ok))
    }
}
