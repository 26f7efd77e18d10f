//! What a stream reports to its gateway: an event when something happens, and heartbeats in between.
//!
//! They are sent by a separate task, so a processor that computes for a minute does not look dead.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cutrickle_error::chain;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::Params;
use crate::ends::DocumentQueue;
use crate::stream::Stream;

/// Gateways give up a worker after 30 s of silence.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The number of events that may wait for the network.
const MAX_WAITING: usize = 64;

/// The queue type of heartbeats; everything else is an event of the stream.
const QUEUE_HEARTBEAT: &str = "stream_heartbeat";
const QUEUE_EVENTS: &str = "ai_stream_events";

/// Something that happened to a stream.
#[derive(Debug)]
pub(crate) struct Event {
    kind: Cow<'static, str>,
    fields: Map<String, Value>,
    at: u64,
}

impl Event {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind: kind.into(), fields: Map::new(), at: unix_millis() }
    }

    /// An event from the processor.
    pub(crate) fn custom(kind: String, fields: Map<String, Value>) -> Self {
        Self { kind: kind.into(), fields, at: unix_millis() }
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.into(), value.into());
        self
    }

    /// `{"event": {"type": …, "timestamp": ms, …}, "queue_event_type": …}`
    fn document(self, stream: &str) -> Value {
        let queue = if self.kind == "heartbeat" { QUEUE_HEARTBEAT } else { QUEUE_EVENTS };
        let mut event = self.fields;
        event.insert("type".into(), self.kind.into_owned().into());
        event.insert("timestamp".into(), self.at.into());
        event.insert("stream_id".into(), stream.into());
        json!({ "event": event, "queue_event_type": queue })
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Creates a queue of events: the stream has the sender, and [`run`] the receiver.
pub(crate) fn queue() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(MAX_WAITING)
}

/// Publishes events and heartbeats until the stream's media have ended, then the last events.
pub(crate) async fn run(stream: Arc<Stream>, mut events: mpsc::Receiver<Event>, channel: DocumentQueue) {
    talk(&stream, &mut events, &channel).await;
    events.close();
    while events.try_recv().is_ok() {
        stream.recorder.counts.events_dropped.add(1);
    }
}

/// Returns early if the channel accepts nothing more.
async fn talk(stream: &Stream, events: &mut mpsc::Receiver<Event>, channel: &DocumentQueue) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    publish(stream, channel, Event::new("stream_started")).await;
    loop {
        if channel.is_closed() {
            return;
        }
        tokio::select! {
            biased;
            Some(event) = events.recv() => publish(stream, channel, event).await,
            _ = heartbeat.tick() => {
                publish(stream, channel, Event::new("heartbeat")).await;
                if stream.options.status_events {
                    publish(stream, channel, status(stream)).await;
                }
            }
            () = stream.media_ended() => break,
        }
    }
    while let Ok(event) = events.try_recv() {
        publish(stream, channel, event).await;
    }
    publish(stream, channel, stopped(stream)).await;
}

/// Creates the last event, which says why the stream ended.
fn stopped(stream: &Stream) -> Event {
    let (reason, message) = stream.end_cause();
    let event = Event::new("stream_stopped").with("reason", reason.as_str());
    match message {
        Some(message) => event.with("message", message),
        None => event,
    }
}

/// Publishes an event. A lost event is only counted and logged, because reporting it would create another
/// one.
async fn publish(stream: &Stream, channel: &DocumentQueue, event: Event) {
    let body = Bytes::from(event.document(&stream.id).to_string());
    if let Err(e) = channel.send(body).await {
        stream.recorder.counts.events_dropped.add(1);
        tracing::warn!(stream = %stream.id, "events: {}", chain(&*e));
    }
}

/// A status event in the shape of a runner's status, which replaces everything the gateway knows of it. Times
/// are in milliseconds since 1970, and null if there was none.
fn status(stream: &Stream) -> Event {
    let (status, times) = (stream.status(), stream.times());
    Event::new("status")
        .with("pipeline", stream.options.pipeline.as_str())
        .with("start_time", times.started)
        .with("state", json!(status.state))
        .with("last_state_update_time", times.state)
        .with("input_status", json!({ "last_input_time": times.input, "fps": stream.recorder.input_fps() }))
        .with(
            "inference_status",
            json!({
                "last_output_time": times.output,
                "fps": status.metrics.fps,
                "last_params_hash": hash(&status.params),
                "last_params": status.params,
                "last_params_update_time": times.params,
                "last_error": status.last_error,
                "last_error_time": times.error,
                "restart_count": 0,
                "last_restart_time": Value::Null,
                "last_restart_logs": Value::Null,
            }),
        )
}

/// Distinguishes sets of parameters; equal sets have equal hashes, even across processes.
fn hash(params: &Params) -> String {
    let mut hasher = DefaultHasher::new();
    Value::Object(params.clone()).to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
