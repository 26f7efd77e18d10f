//! Reading the body of a request: bounded in size and in time, whatever its `Content-Type`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use cutrickle_error::chain;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::refusal::Refusal;
use crate::worker::Worker;

/// Largest body that is accepted.
pub(crate) const MAX_BYTES: usize = 10 << 20;
/// How much of a body that is too large is read and thrown away before the connection is cut. A client that
/// is still sending when the connection closes sees a reset instead of the answer.
const MAX_DISCARDED: usize = 64 << 20;

/// A request's whole body.
#[derive(Debug)]
pub(crate) struct Payload(pub(crate) Bytes);

impl FromRequest<Arc<Worker>> for Payload {
    type Rejection = Refusal;

    async fn from_request(request: Request, worker: &Arc<Worker>) -> Result<Self, Refusal> {
        let waits = request.headers().contains_key(header::EXPECT);
        // A client that asked first has not sent anything yet: there is nothing to discard.
        let discarded = if waits { 0 } else { MAX_DISCARDED };
        let patience = worker.body_timeout;
        match tokio::time::timeout(patience, read(request.into_body(), discarded)).await {
            Ok(read) => read.map(Self),
            Err(_) => Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format_args!("the body did not arrive within {patience:?}"),
            )),
        }
    }
}

async fn read(mut body: Body, discarded: usize) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BYTES.saturating_add(discarded) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::bad(format_args!("the body broke off: {}", chain(&e))))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if announced <= MAX_BYTES && seen <= MAX_BYTES {
            bytes.extend_from_slice(&data);
        } else if seen > MAX_BYTES.saturating_add(discarded) {
            break;
        } else {
            bytes = BytesMut::new();
        }
    }
    if seen > MAX_BYTES { Err(too_large()) } else { Ok(bytes.freeze()) }
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format_args!("the body is larger than {} MiB", MAX_BYTES >> 20),
    )
}
