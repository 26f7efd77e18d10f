//! The answer to a request that was not carried out: a status code and one line.

use std::fmt::Display;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: ErrorAnswer,
}

/// The answer to a request that was not carried out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorAnswer {
    /// What is wrong, in one line.
    error: String,
}

/// Longest text, in characters, as it may have callers' own values in it.
const MAX_TEXT: usize = 300;

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: impl Display) -> Self {
        Self { status, body: ErrorAnswer { error: one_line(error) } }
    }

    /// 400: the request is wrong, and would be wrong again.
    pub(crate) fn bad(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 401: the caller has not shown the worker's token.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "`Authorization: Bearer <token>` with this worker's token is wanted",
        )
    }

    /// 409: several streams run, and the call does not say which it means.
    pub(crate) fn ambiguous(streams: &[&str]) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            format_args!(
                "{} streams run: name one by the header X-Stream-Id, by ?stream= or by `gateway_request_id`: {}",
                streams.len(),
                streams.join(", ")
            ),
        )
    }

    /// 503: not now; the caller should try another worker.
    pub(crate) fn unavailable(error: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// 500: the worker's own fault.
    pub(crate) fn internal(error: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A text in one line, bounded in length and free of control characters.
pub(crate) fn one_line(text: impl Display) -> String {
    let line = cutrickle_error::one_line(text);
    let mut short: String =
        line.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().nth(MAX_TEXT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_of_many_lines_becomes_one_short_line() {
        assert_eq!(one_line("first\nsecond"), "first: second");
        assert_eq!(one_line("a\tb\u{1b}[31m"), "a b [31m");
        assert_eq!(one_line("x".repeat(10_000)).chars().count(), MAX_TEXT + 1);
    }
}
