//! What callers send: the JSON of a start and of new parameters, checked field by field.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use cutrickle_error::chain;
use cutrickle_live::StreamRequest;
use cutrickle_pipeline::Params;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::hosts::AllowedHosts;
use crate::refusal::Refusal;

/// The header that names the stream of a call, and the query parameter that does where there is no header.
pub(crate) const STREAM_ID: &str = "X-Stream-Id";
pub(crate) const STREAM_QUERY: &str = "stream";
/// Longest name of a stream, in characters, as it is in every line of the log.
pub(crate) const MAX_ID: usize = 256;

/// The stream that a call names by its header or, failing that, by its query.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let name = |what: &str, given: &str| {
            let id = StreamId::try_from(given.to_owned());
            id.map(StreamId::known).map_err(|e| Refusal::bad(format_args!("{what}: {e}")))
        };
        if let Some(value) = parts.headers.get(STREAM_ID) {
            let id = value
                .to_str()
                .map_err(|_| Refusal::bad(format_args!("{STREAM_ID} has characters other than ASCII")))?;
            if let Some(id) = name(STREAM_ID, id)? {
                return Ok(Self(Some(id)));
            }
        }
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map_err(|e| Refusal::bad(format_args!("the query is malformed: {}", chain(&e))))?;
        match query.get(STREAM_QUERY) {
            Some(id) => name("`stream`", id).map(Self),
            None => Ok(Self(None)),
        }
    }
}

/// A stream's name as a caller gives it. An empty one is none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
pub(crate) struct StreamId(String);

impl TryFrom<String> for StreamId {
    type Error = String;

    fn try_from(given: String) -> Result<Self, String> {
        let id = given.trim();
        if id.chars().count() > MAX_ID || id.chars().any(char::is_control) {
            return Err(format!(
                "no name for a stream: at most {MAX_ID} characters are wanted, and no control characters"
            ));
        }
        Ok(Self(id.to_owned()))
    }
}

impl StreamId {
    fn known(self) -> Option<String> {
        Some(self.0).filter(|id| !id.is_empty())
    }
}

/// A URL that a worker can connect to: beginning with http:// or https://, with a host. An empty one is none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^([hH][tT][tT][pP][sS]?://[^/].*)?$")]
pub(crate) struct Url(Option<String>);

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let wanted = "a URL beginning with http:// or https:// is wanted";
        let uri: Uri = text.parse().map_err(|e| format!("malformed ({e}): {wanted}"))?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        if web && uri.authority().is_some_and(is_reachable) {
            Ok(Self(Some(text)))
        } else {
            Err(wanted.into())
        }
    }
}

/// Whether there is a host, and a port that is a number, if any: `http::Uri` checks neither.
fn is_reachable(authority: &Authority) -> bool {
    let host = authority.host();
    let with_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    !host.is_empty() && (with_port == host || authority.port_u16().is_some())
}

/// The body of a start. One of `subscribe_url`, `publish_url` and `data_url` is needed; more fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "subscribe_url": "http://127.0.0.1:3389/in",
    "publish_url": "http://127.0.0.1:3389/out",
    "params": { "width": 512, "height": 512, "prompt": "a cat" },
}))]
pub(crate) struct Start {
    /// Where the input comes from.
    subscribe_url: Option<Url>,
    /// Where the output goes.
    publish_url: Option<Url>,
    /// Where parameters come from, one JSON object a segment.
    control_url: Option<Url>,
    /// Where it is told what happens to the stream.
    events_url: Option<Url>,
    /// Where the data goes that the processor emits.
    data_url: Option<Url>,
    /// The stream's name, where no header and no query has one.
    gateway_request_id: Option<StreamId>,
    /// The framework's own parameters and the processor's. The framework's own: `width` and `height` (together; the
    /// input is scaled and cropped to this size, rounded down to even numbers), `max_framerate` (1 to 60, rounded to the
    /// nearest whole number), `show_loading` (a banner in the place of
    /// the processor's answers, where the processor shows one), `detect_out_resolution` (taken and of no effect: the
    /// output always has the size of what the processor returns). Numbers may be strings; booleans may be strings or 0 and
    /// 1. A name that the processor says it does not take is refused.
    #[schema(value_type = Option<Object>)]
    params: Option<Params>,
}

/// New parameters for a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({ "max_framerate": 15, "prompt": "a dog" }))]
pub(crate) struct NewParams {
    /// The stream that is meant, where no header and no query names one.
    gateway_request_id: Option<StreamId>,
    /// The framework's own parameters and the processor's.
    #[schema(value_type = HashMap<String, Value>)]
    #[serde(flatten)]
    params: Params,
}

/// The body of a stop, if it is a JSON object; any other is as good as none.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Stop {
    /// The stream that is meant, where no header and no query names one.
    gateway_request_id: Option<StreamId>,
}

/// Reads the body of a start: the stream that is asked for, and the id of the request, which is
/// `gateway_request_id` or otherwise the stream's name. `named` is the name that the call itself gives, which comes
/// before `gateway_request_id`; without either a name is made up.
pub(crate) fn start(
    body: &[u8],
    named: Option<String>,
    hosts: &AllowedHosts,
) -> Result<(StreamRequest, String), Refusal> {
    let body: Start = read(object(body)?)?;
    let url = |field: &str, url: Option<Url>| {
        let Some(Url(Some(url))) = url else { return Ok(None) };
        let refused = |host| Refusal::bad(format_args!("`{field}`: this worker does not connect to {host}"));
        hosts.check(&url).map_err(refused).map(|()| Some(url))
    };
    let requested = body.gateway_request_id.and_then(StreamId::known);
    let request = StreamRequest {
        id: named.or_else(|| requested.clone()).unwrap_or_else(made_up),
        subscribe_url: url("subscribe_url", body.subscribe_url)?,
        publish_url: url("publish_url", body.publish_url)?,
        control_url: url("control_url", body.control_url)?,
        events_url: url("events_url", body.events_url)?,
        data_url: url("data_url", body.data_url)?,
        params: body.params.unwrap_or_default(),
    };
    if request.subscribe_url.is_none() && request.publish_url.is_none() && request.data_url.is_none() {
        return Err(Refusal::bad(
            "`subscribe_url`, `publish_url` and `data_url` are all missing: one of them is needed",
        ));
    }
    let request_id = requested.unwrap_or_else(|| request.id.clone());
    Ok((request, request_id))
}

/// Reads the body of new parameters, and the stream that they are for: `named` comes before
/// `gateway_request_id`.
pub(crate) fn params(body: &[u8], named: Option<String>) -> Result<(Params, Option<String>), Refusal> {
    let NewParams { gateway_request_id, params } = read(object(body)?)?;
    Ok((params, named.or(gateway_request_id.and_then(StreamId::known))))
}

/// The stream that the body of a stop names, if any. Most callers send none, or plain text.
pub(crate) fn stop(body: &[u8], named: Option<String>) -> Option<String> {
    named.or_else(|| {
        let Stop { gateway_request_id } = read(object(body).ok()?).ok()?;
        gateway_request_id?.known()
    })
}

/// The fields of a body. A refusal names the field that is wrong.
fn read<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(body))
        .map_err(|e| Refusal::bad(format_args!("`{}`: {}", e.path(), e.inner())))
}

/// Reads a body that must be a JSON object.
fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::bad("the body is empty: a JSON object is wanted"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Refusal::bad(format_args!("the body is {}: a JSON object is wanted", kind(&other)))),
        Err(e) => Err(Refusal::bad(format_args!("the body is not JSON: {}", chain(&e)))),
    }
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
