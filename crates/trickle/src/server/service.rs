//! What each request is answered. Numbers and segments are `channel`'s business, sockets `mod`'s.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::ext::ReasonPhrase;
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::ServerConfig;
use super::body::SegmentBody;
use super::channel::{Index, Read, Write};
use super::registry::{NoChannel, Registry, Shared, lock};
use super::segment::{Appended, Ending, Segment, State};
use super::socket::Interim;
use crate::wire;

/// The trickle server without its sockets: give it requests of any hyper or axum server. Cloning it is
/// cheap and shares all channels.
///
/// Mounted elsewhere it sends no `100 Continue` to idle POSTs (that needs the connection, which
/// [`Server`](super::Server) has), and [`sweep`](Self::sweep) is to be called once a minute.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// The base's path, without a slash at its end.
    base: String,
    auto_create: bool,
    idle_timeout: Duration,
    continue_interval: Duration,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("channels", &self.channels()).finish_non_exhaustive()
    }
}

type Answer = Response<SegmentBody>;

impl Service {
    /// A service without channels. Socket-related parts of `config` are not used.
    pub fn new(config: &ServerConfig) -> Service {
        let base = config.base.trim_matches('/');
        Service(Arc::new(Inner {
            registry: Registry::new(config, Instant::now()),
            base: if base.is_empty() { String::new() } else { format!("/{base}") },
            auto_create: config.auto_create,
            idle_timeout: config.idle_timeout,
            continue_interval: config
                .continue_interval
                .clamp(Duration::from_millis(1), Duration::from_secs(3600)),
        }))
    }

    /// Ends the channels that have had no new segment for the idle time-out.
    pub fn sweep(&self) {
        self.0.registry.sweep(Instant::now(), self.0.idle_timeout);
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.0.registry.len()
    }

    /// How many bytes of segments are in memory, those included that only a slow reader still holds.
    pub fn held_bytes(&self) -> u64 {
        self.0.registry.held()
    }

    /// Answers one request. The future waits for as long as the protocol does: a GET for the first byte,
    /// a POST for the end of its body.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<SegmentBody>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path = request.uri().path().to_owned();
        let Some((name, below)) = split(&self.0.base, &path) else {
            return text(StatusCode::NOT_FOUND, "404 page not found");
        };
        match (request.method(), below) {
            (&Method::POST, None) => self.create(name, request.headers()),
            (&Method::DELETE, None) => self.delete(name),
            (&Method::GET | &Method::HEAD, Some("next")) => self.next_number(name),
            (&Method::GET | &Method::HEAD, Some(index)) => self.read(name, index).await,
            (&Method::POST, Some(index)) => self.write(name, index, request).await,
            (&Method::DELETE, Some(index)) => self.delete_segment(name, index),
            (_, below) => {
                let allowed = if below.is_some() { "GET, HEAD, POST, DELETE" } else { "POST, DELETE" };
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
                answer
            }
        }
    }

    fn create(&self, name: &str, headers: &HeaderMap) -> Answer {
        let content_type = content_type(headers, &[wire::EXPECT_CONTENT, header::CONTENT_TYPE]);
        match self.find_or_create(name, content_type) {
            Ok(_) => empty(StatusCode::OK),
            Err(answer) => *answer,
        }
    }

    fn find_or_create(&self, name: &str, content_type: &str) -> Result<Shared, Box<Answer>> {
        let registry = &self.0.registry;
        if registry.is_reserved(name) {
            return Err(Box::new(closing(text(StatusCode::BAD_REQUEST, "Channel is read-only"))));
        }
        let found = if self.0.auto_create {
            registry.find_or_create(name, content_type, Instant::now())
        } else {
            registry.find(name)
        };
        found.map_err(|why| {
            Box::new(closing(match why {
                NoChannel::Missing => text(StatusCode::NOT_FOUND, "Stream not found"),
                NoChannel::Full => text(StatusCode::SERVICE_UNAVAILABLE, "Too many channels"),
            }))
        })
    }

    fn delete(&self, name: &str) -> Answer {
        if self.0.registry.is_reserved(name) {
            return text(StatusCode::BAD_REQUEST, "Channel is read-only");
        }
        if self.0.registry.remove(name, Instant::now()) {
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
        // The header goes out with the first byte, not before.
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

    async fn write<B>(&self, name: &str, index: &str, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let at = match Index::parse(index) {
            Some(Index::At(seq)) => Some(seq),
            Some(Index::Next) => None,
            _ => return closing(malformed()),
        };
        let channel =
            match self.find_or_create(name, content_type(request.headers(), &[header::CONTENT_TYPE])) {
                Ok(channel) => channel,
                Err(answer) => return *answer,
            };
        let reset = request.headers().contains_key(wire::RESET);
        let (written, is_terminated) = {
            let mut channel = lock(&channel);
            (channel.write(at, reset), channel.is_terminated())
        };
        let segment = match written {
            Write::Open(segment) => segment,
            Write::Ended { seq } => return ended(seq, is_terminated),
            Write::TooFarAhead => return closing(text(StatusCode::BAD_REQUEST, "Too many open segments")),
        };
        let is_http_11 = request.version() == http::Version::HTTP_11;
        let interim = request.extensions().get::<Interim>().filter(|_| is_http_11).cloned();
        let mut post = Post { channel, ending: segment.ending(), segment, taken: false, over: false };
        let answer = post.take(request.into_body(), interim.as_ref(), self.0.continue_interval).await;
        if let Some(interim) = interim {
            interim.withdraw();
        }
        answer
    }
}

/// A POST under way. Dropped before its end, it has broken off.
struct Post {
    channel: Shared,
    segment: Arc<Segment>,
    ending: Ending,
    taken: bool,
    over: bool,
}

impl Post {
    async fn take<B>(&mut self, mut body: B, interim: Option<&Interim>, interval: Duration) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let seq = self.segment.seq();
        let mut keep_alive = TokioInstant::now() + interval;
        loop {
            let frame = tokio::select! {
                biased;
                () = poll_fn(|context| self.ending.poll(context)) => {
                    self.over = true;
                    return ended(seq, self.segment.state() == State::Terminated);
                }
                frame = body.frame() => frame,
                () = sleep_until(keep_alive), if !self.taken && interim.is_some() => {
                    if let Some(interim) = interim {
                        interim.ask();
                    }
                    keep_alive += interval;
                    continue;
                }
            };
            let data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return closing(text(StatusCode::BAD_REQUEST, "The body broke off")),
                None => {
                    self.over = true;
                    lock(&self.channel).finish(seq);
                    let answer = numbered(empty(StatusCode::OK), seq);
                    return if self.taken { answer } else { closing(answer) };
                }
            };
            if data.is_empty() {
                continue;
            }
            if !self.taken {
                self.taken = true;
                lock(&self.channel).begin(seq, Instant::now());
            }
            if self.segment.append(data) == Appended::TooLarge {
                self.over = true;
                lock(&self.channel).finish(seq);
                return closing(numbered(text(StatusCode::PAYLOAD_TOO_LARGE, "Segment too large"), seq));
            }
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if !self.over {
            lock(&self.channel).abandon(self.segment.seq());
        }
    }
}

/// The channel's name and what is below it.
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

fn stream_not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "Stream not found")
}

/// To a POST whose segment takes no bytes: it was closed, or its channel was.
fn ended(seq: u64, terminated: bool) -> Answer {
    let mut answer = closing(numbered(empty(StatusCode::OK), seq));
    if terminated {
        answer.headers_mut().insert(wire::CLOSED, self::terminated());
    }
    answer
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
