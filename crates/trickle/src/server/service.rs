//! Answers the requests. `channel` handles numbers and segments, `mod` handles sockets.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::ext::ReasonPhrase;
use tokio::time::sleep;

use super::ServerConfig;
use super::body::SegmentBody;
use super::channel::{Index, Publisher, Read, Write};
use super::hooks::{Hooks, Refusal};
use super::registry::{NoChannel, Registry, Shared};
use super::segment::{Appended, State};
use super::socket::Interim;
use super::writer::Writer;
use crate::lock::lock;
use crate::wire;

/// The trickle server without sockets, to be used within any hyper or axum server. It is cheap to clone,
/// and all clones share the same channels.
///
/// Only [`Server`](super::Server) sends a `100 Continue` to idle POSTs, because that requires access to the
/// connection. Other servers should call [`sweep`](Self::sweep) once a minute.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    hooks: Hooks,
    /// The path above the channels, without a trailing slash.
    base: String,
    auto_create: bool,
    idle_timeout: Duration,
    continue_interval: Duration,
    hook_timeout: Duration,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("channels", &self.channels()).finish_non_exhaustive()
    }
}

type Answer = Response<SegmentBody>;

impl Service {
    /// Creates a service without channels. The settings of `config` for sockets are not used.
    pub fn new(config: &ServerConfig) -> Service {
        Service::with_hooks(config, Hooks::default())
    }

    /// Like [`new`](Self::new), with hooks that are called before channels are created and ended.
    pub fn with_hooks(config: &ServerConfig, hooks: Hooks) -> Service {
        let base = config.base.trim_matches('/');
        Service(Arc::new(Inner {
            registry: Arc::new(Registry::new(config, Instant::now())),
            hooks,
            base: if base.is_empty() { String::new() } else { format!("/{base}") },
            auto_create: config.auto_create,
            idle_timeout: config.idle_timeout,
            continue_interval: config
                .continue_interval
                .clamp(Duration::from_millis(1), Duration::from_secs(3600)),
            hook_timeout: config.hook_timeout,
        }))
    }

    /// Ends the channels without a new segment for [`ServerConfig::idle_timeout`].
    pub fn sweep(&self) {
        self.0.registry.sweep(Instant::now(), self.0.idle_timeout);
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.0.registry.len()
    }

    /// How many bytes of segments are in memory, including segments that only a slow reader still holds.
    pub fn held_bytes(&self) -> u64 {
        self.0.registry.held()
    }

    /// How many segments were evicted because of [`ServerConfig::max_total_bytes`].
    pub fn evicted_segments(&self) -> u64 {
        self.0.registry.evicted()
    }

    /// Answers one request. A GET waits for the first byte of its segment, a POST for the end of its body.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<SegmentBody>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let Some((name, below)) = split(&self.0.base, head.uri.path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found");
        };
        match (&head.method, below) {
            (&Method::POST, None) => self.create(name, &head.headers).await,
            (&Method::DELETE, None) => self.delete(name, &head.headers).await,
            (&Method::GET | &Method::HEAD, Some("next")) => self.next_number(name),
            (&Method::GET | &Method::HEAD, Some(index)) => self.read(name, index).await,
            (&Method::POST, Some(index)) => self.write(name, index, &head, body).await,
            (&Method::DELETE, Some(index)) => self.delete_segment(name, index),
            (_, below) => {
                let allowed = if below.is_some() { "GET, HEAD, POST, DELETE" } else { "POST, DELETE" };
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
                answer
            }
        }
    }

    async fn create(&self, name: &str, headers: &HeaderMap) -> Answer {
        let content_type = content_type(headers, &[wire::EXPECT_CONTENT, header::CONTENT_TYPE]);
        match self.find_or_create(name, content_type, headers).await {
            Ok(_) => empty(StatusCode::OK),
            Err(answer) => *answer,
        }
    }

    async fn find_or_create(
        &self,
        name: &str,
        content_type: &str,
        headers: &HeaderMap,
    ) -> Result<Shared, Box<Answer>> {
        let registry = &self.0.registry;
        if registry.is_reserved(name) {
            return Err(Box::new(closing(text(StatusCode::BAD_REQUEST, "Channel is read-only"))));
        }
        let found = match registry.find(name) {
            Err(NoChannel::Missing) if self.0.auto_create => {
                let decision = self.0.hooks.create(name, headers, self.0.hook_timeout).await;
                decision.map_err(|refusal| Box::new(closing(refused(refusal))))?;
                registry.find_or_create(name, content_type, Instant::now())
            }
            found => found,
        };
        found.map_err(|why| {
            Box::new(closing(match why {
                NoChannel::Missing => stream_not_found(),
                NoChannel::Full => text(StatusCode::SERVICE_UNAVAILABLE, "Too many channels"),
            }))
        })
    }

    async fn delete(&self, name: &str, headers: &HeaderMap) -> Answer {
        let registry = &self.0.registry;
        if registry.is_reserved(name) {
            return text(StatusCode::BAD_REQUEST, "Channel is read-only");
        }
        let Ok(channel) = registry.find(name) else {
            return text(StatusCode::BAD_REQUEST, "Invalid stream");
        };
        // The channel goes on if other publishers use it.
        if wire::publisher(headers).is_some_and(|by| lock(&channel).goes_on_without(by)) {
            return empty(StatusCode::OK);
        }
        if let Err(refusal) = self.0.hooks.delete(name, headers, self.0.hook_timeout).await {
            return refused(refusal);
        }
        if registry.remove_this(name, &channel, Instant::now()) {
            empty(StatusCode::OK)
        } else {
            text(StatusCode::BAD_REQUEST, "Invalid stream")
        }
    }

    fn delete_segment(&self, name: &str, index: &str) -> Answer {
        let Some(Index::At(seq)) = Index::parse(index) else { return malformed() };
        let Ok(channel) = self.0.registry.find(name) else {
            return text(StatusCode::BAD_REQUEST, "Invalid stream");
        };
        if !self.0.registry.is_reserved(name) && lock(&channel).finish(seq) {
            empty(StatusCode::OK)
        } else {
            text(StatusCode::BAD_REQUEST, "Entry not found")
        }
    }

    fn next_number(&self, name: &str) -> Answer {
        let Ok(channel) = self.0.registry.find(name) else { return stream_not_found() };
        let next = lock(&channel).next_write();
        let mut answer = text(StatusCode::OK, next.to_string());
        answer.headers_mut().insert(wire::LATEST, next.into());
        answer
    }

    async fn read(&self, name: &str, index: &str) -> Answer {
        let Some(index) = Index::parse(index) else { return malformed() };
        let Ok(channel) = self.0.registry.find(name) else { return stream_not_found() };
        let segment = {
            let mut channel = lock(&channel);
            match channel.read(index) {
                Read::Segment(segment) => segment,
                Read::Missing { .. } if channel.is_terminated() => return stream_not_found(),
                Read::Missing { seq } => return no_such_segment(seq, channel.next_write()),
            }
        };
        // The protocol requires that the head is not sent before the first byte.
        let mut reader = segment.reader();
        let first = poll_fn(|context| reader.poll_next(context)).await;
        let (latest, content_type) = {
            let channel = lock(&channel);
            (channel.next_write(), HeaderValue::from_str(channel.content_type()))
        };
        let is_empty = first.is_none();
        let mut answer = Response::new(match first {
            Some(first) => SegmentBody::segment(first, reader),
            None => SegmentBody::empty(),
        });
        let headers = answer.headers_mut();
        headers.insert(wire::SEQ, segment.seq().into());
        if latest != segment.seq() {
            headers.insert(wire::LATEST, latest.into());
        }
        if let Ok(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        if is_empty && segment.state() == State::Terminated {
            headers.insert(wire::CLOSED, terminated());
        }
        answer
    }

    async fn write<B>(&self, name: &str, index: &str, head: &Parts, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let at = match Index::parse(index) {
            Some(Index::At(seq)) => Some(seq),
            Some(Index::Next) => None,
            _ => return closing(malformed()),
        };
        let content_type = content_type(&head.headers, &[header::CONTENT_TYPE]);
        let channel = match self.find_or_create(name, content_type, &head.headers).await {
            Ok(channel) => channel,
            Err(answer) => return *answer,
        };
        let reset = head.headers.contains_key(wire::RESET);
        let by = wire::publisher(&head.headers);
        let (written, is_terminated) = {
            let mut channel = lock(&channel);
            let written = channel.write(at, reset, by);
            if let Write::Open(segment) = &written {
                channel.enter(segment.seq(), by);
            }
            (written, channel.is_terminated())
        };
        let segment = match written {
            Write::Open(segment) => segment,
            Write::Ended { seq } => return ended(seq, is_terminated, by),
            Write::TooFarAhead => return closing(text(StatusCode::BAD_REQUEST, "Too many open segments")),
        };
        let is_http_11 = head.version == http::Version::HTTP_11;
        let interim = head.extensions.get::<Interim>().filter(|_| is_http_11);
        let mut post = Post { writer: Writer::new(channel, segment, by), over: false };
        let answer = post.take(body, interim, self.0.continue_interval).await;
        if let Some(interim) = interim {
            interim.withdraw();
        }
        answer
    }
}

/// A POST in flight. If it is dropped before its end, it has broken off.
struct Post {
    writer: Writer,
    over: bool,
}

impl Post {
    async fn take<B>(&mut self, mut body: B, interim: Option<&Interim>, interval: Duration) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let seq = self.writer.seq();
        let mut keep_alive = pin!(sleep(interval));
        loop {
            let frame = tokio::select! {
                biased;
                () = poll_fn(|context| self.writer.poll_ended(context)) => {
                    self.over = true;
                    return ended(seq, self.writer.is_terminated(), self.writer.by());
                }
                frame = body.frame() => frame,
                () = &mut keep_alive, if !self.writer.has_taken() && interim.is_some() => {
                    if let Some(interim) = interim {
                        interim.ask();
                    }
                    let due = keep_alive.deadline() + interval;
                    keep_alive.as_mut().reset(due);
                    continue;
                }
            };
            let data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return closing(text(StatusCode::BAD_REQUEST, "The body broke off")),
                None => {
                    self.over = true;
                    self.writer.finish();
                    let answer = numbered(empty(StatusCode::OK), seq);
                    return if self.writer.has_taken() { answer } else { closing(answer) };
                }
            };
            let (status, why) = match self.writer.append(data) {
                // The end of the segment is handled above.
                Appended::Taken | Appended::Ended => continue,
                Appended::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Segment too large"),
                Appended::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, "No room for this segment"),
            };
            self.over = true;
            return closing(numbered(text(status, why), seq));
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if !self.over {
            self.writer.abandon();
        }
    }
}

/// Splits a path into the name of the channel and the part below it.
fn split<'a>(base: &str, path: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    let below_base = path.strip_prefix(base)?.strip_prefix('/')?;
    let (name, below) = match below_base.split_once('/') {
        Some((name, below)) => (name, Some(below)),
        None => (below_base, None),
    };
    let is_known = !name.is_empty() && below.is_none_or(|below| !below.is_empty() && !below.contains('/'));
    is_known.then_some((name, below))
}

fn content_type<'a>(headers: &'a HeaderMap, names: &[header::HeaderName]) -> &'a str {
    let value = names.iter().find_map(|name| headers.get(name));
    value.and_then(|value| value.to_str().ok()).unwrap_or("application/octet-stream")
}

fn terminated() -> HeaderValue {
    HeaderValue::from_static("terminated")
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(SegmentBody::empty());
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, line: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(SegmentBody::text(line));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn numbered(mut answer: Answer, seq: u64) -> Answer {
    answer.headers_mut().insert(wire::SEQ, seq.into());
    answer
}

fn malformed() -> Answer {
    text(StatusCode::BAD_REQUEST, "Invalid idx")
}

fn refused(refusal: Refusal) -> Answer {
    let (status, reason) = refusal.into_parts();
    text(status, reason)
}

fn stream_not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "Stream not found")
}

/// The response to a POST whose segment or channel has ended. Publishers that identify themselves get a 409,
/// because they may already have sent bytes and must not count them as written.
fn ended(seq: u64, terminated: bool, by: Publisher) -> Answer {
    if terminated {
        let mut answer = closing(numbered(empty(StatusCode::OK), seq));
        answer.headers_mut().insert(wire::CLOSED, self::terminated());
        return answer;
    }
    let status = if by.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    closing(numbered(empty(status), seq))
}

fn no_such_segment(seq: u64, latest: u64) -> Answer {
    let mut answer = numbered(text(StatusCode::OK, "Entry not found"), seq);
    if let Ok(status) = StatusCode::from_u16(wire::NO_SUCH_SEGMENT) {
        *answer.status_mut() = status;
    }
    answer.headers_mut().insert(wire::LATEST, latest.into());
    answer.extensions_mut().insert(ReasonPhrase::from_static(b"status code 470"));
    answer
}
