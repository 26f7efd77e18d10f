//! What callers send: the JSON of a start and of new parameters, checked field by field.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use cutrickle_pipeline::{Params, StreamRequest};
use serde_json::{Map, Value};

use crate::hosts::AllowedHosts;
use crate::refusal::Refusal;

/// The header that names the stream of a call.
const STREAM_ID: &str = "x-stream-id";
/// Longest name of a stream, in bytes: it stands in every line of the log.
const MOST_ID: usize = 256;

/// The stream that a call names by its header or, failing that, by its query.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        if let Some(value) = parts.headers.get(STREAM_ID) {
            let id =
                value.to_str().map_err(|_| Refusal::bad("X-Stream-Id has characters other than ASCII"))?;
            if let Some(id) = name("X-Stream-Id", id)? {
                return Ok(Self(Some(id)));
            }
        }
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map_err(|e| Refusal::bad(format_args!("the query is malformed: {e}")))?;
        match query.get("stream") {
            Some(id) => name("`stream`", id).map(Self),
            None => Ok(Self(None)),
        }
    }
}

/// The stream that a body names by `gateway_request_id`, which is taken out of it.
fn take_gateway_request_id(body: &mut Map<String, Value>) -> Result<Option<String>, Refusal> {
    let id = match text(body, "gateway_request_id")? {
        Some(id) => name("`gateway_request_id`", id)?,
        None => None,
    };
    body.remove("gateway_request_id");
    Ok(id)
}

/// The body of new parameters, and the stream that they are for: `named` goes before `gateway_request_id`.
pub(crate) fn params(body: &[u8], named: Option<String>) -> Result<(Params, Option<String>), Refusal> {
    let mut params = object(body)?;
    let by_body = take_gateway_request_id(&mut params)?;
    Ok((params, named.or(by_body)))
}

/// The stream that the body of a stop names, if any: most have none, or plain text.
pub(crate) fn stop(body: &[u8], named: Option<String>) -> Option<String> {
    named.or_else(|| object(body).ok().and_then(|mut body| take_gateway_request_id(&mut body).ok()).flatten())
}

/// The body of a start. `named` is the stream's name by the call itself, which goes before `gateway_request_id`;
/// without either a name is made up.
pub(crate) fn start(
    body: &[u8],
    named: Option<String>,
    hosts: &AllowedHosts,
) -> Result<StreamRequest, Refusal> {
    let mut body = object(body)?;
    let url = |body: &Map<String, Value>, field: &str| url(body, field, hosts);
    let subscribe_url = url(&body, "subscribe_url")?;
    let publish_url = url(&body, "publish_url")?;
    let control_url = url(&body, "control_url")?;
    let events_url = url(&body, "events_url")?;
    let data_url = url(&body, "data_url")?;
    if subscribe_url.is_none() && publish_url.is_none() && data_url.is_none() {
        return Err(Refusal::bad(
            "`subscribe_url`, `publish_url` and `data_url` are all missing: one of them is needed",
        ));
    }
    let gateway_request_id = take_gateway_request_id(&mut body)?;
    let params = match body.remove("params") {
        None | Some(Value::Null) => Params::new(),
        Some(Value::Object(params)) => params,
        Some(other) => {
            return Err(Refusal::bad(format_args!("`params` is {}: an object is wanted", kind(&other))));
        }
    };
    let id = named.or(gateway_request_id).unwrap_or_else(made_up);
    Ok(StreamRequest { id, subscribe_url, publish_url, control_url, events_url, data_url, params })
}

/// A body that must be a JSON object.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::bad("the body is empty: a JSON object is wanted"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Refusal::bad(format_args!("the body is {}: a JSON object is wanted", kind(&other)))),
        Err(e) => Err(Refusal::bad(format_args!("the body is not JSON: {e}"))),
    }
}

fn text<'a>(body: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Refusal::bad(format_args!("`{field}` is {}: a string is wanted", kind(other)))),
    }
}

fn url(body: &Map<String, Value>, field: &str, hosts: &AllowedHosts) -> Result<Option<String>, Refusal> {
    let Some(text) = text(body, field)? else { return Ok(None) };
    let wanted = "a URL beginning with http:// or https:// is wanted";
    let uri: Uri =
        text.parse().map_err(|e| Refusal::bad(format_args!("`{field}` is malformed ({e}): {wanted}")))?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if web && is_reachable(authority) => {
            if hosts.allow(authority) {
                Ok(Some(text.to_owned()))
            } else {
                let host = authority.host();
                Err(Refusal::bad(format_args!("`{field}`: this worker does not connect to {host}")))
            }
        }
        _ => Err(Refusal::bad(format_args!("`{field}`: {wanted}"))),
    }
}

/// Whether there is a host, and a number where a port is: `http::Uri` looks at neither.
fn is_reachable(authority: &Authority) -> bool {
    let host = authority.host();
    let with_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    !host.is_empty() && (with_port == host || authority.port_u16().is_some())
}

/// A stream's name as a caller gave it; an empty one is none.
fn name(what: &str, given: &str) -> Result<Option<String>, Refusal> {
    let id = given.trim();
    if id.len() > MOST_ID || id.chars().any(char::is_control) {
        return Err(Refusal::bad(format_args!(
            "{what} is no name for a stream: at most {MOST_ID} bytes without control characters are wanted"
        )));
    }
    Ok((!id.is_empty()).then(|| id.to_owned()))
}

fn made_up() -> String {
    // Each `RandomState` is seeded differently.
    format!("stream-{:016x}", RandomState::new().build_hasher().finish())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
