//! What the threads and tasks of one stream share: its counters, settings, parameters and end. Its state is
//! judged in `state`.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutrickle_error::one_line;
use cutrickle_media::{Size, Tracks};
use tokio::sync::{mpsc, watch};

use crate::data::{Emitter, Lines};
use crate::events::{Event, unix_millis};
use crate::input::Measured;
use crate::metrics::{Counter, Recorder};
use crate::state::{Health, Recorded};
use crate::updates::{Answer, Outcome as Update, Parameters};
use crate::{
    EndReason, Error, InputInfo, Metrics, MetricsRegistry, Params, Result, StageBackends, StreamOptions,
    StreamParams, StreamStatus,
};

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reason: EndReason,
    /// In milliseconds from the stream's start.
    at: u64,
}

/// When each of these last happened, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) started: u64,
    pub(crate) state: u64,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) params: Option<u64>,
    pub(crate) error: Option<u64>,
}

/// Which ends a stream has, and the queues of its events and data channels.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    pub(crate) input: bool,
    pub(crate) output: bool,
    pub(crate) events: Option<mpsc::Sender<Event>>,
    pub(crate) data: Option<Arc<Lines>>,
}

/// The shared part of one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) options: StreamOptions,
    pub(crate) recorder: Recorder,
    registry: MetricsRegistry,
    pub(crate) ends: Attached,
    pub(crate) parameters: Parameters,
    pub(crate) health: Health,
    /// Bytes of output that were handed to a connection.
    pub(crate) output_bytes: Counter,
    started_at: u64,
    details: Mutex<Details>,
    announced: watch::Sender<Tracks>,
    /// Whether the gateway has been told of the first input and of the first output.
    input_begun: AtomicBool,
    output_begun: AtomicBool,
    stop: watch::Sender<bool>,
    /// Why the stream has to end, with a message if it is an error.
    end_cause: Mutex<Option<(EndReason, Option<String>)>>,
    media_ended: watch::Sender<bool>,
    ended: watch::Sender<Option<Outcome>>,
}

#[derive(Debug, Default)]
struct Details {
    backends: StageBackends,
    input: Option<InputInfo>,
    output_size: Option<(u32, u32)>,
    last_error: Option<String>,
    /// Milliseconds from the start to the newest parameters and the newest error.
    params_at: Option<u64>,
    error_at: Option<u64>,
    /// When an error was last logged, and how many occurred since.
    logged: Option<Instant>,
    unlogged: u64,
}

impl Stream {
    pub(crate) fn new(
        id: String,
        parameters: Parameters,
        options: StreamOptions,
        registry: &MetricsRegistry,
        ends: Attached,
    ) -> Self {
        let backends = StageBackends {
            device: Some(device_name(&options.device)),
            device_fallback: options.device_fallback.clone(),
            ..StageBackends::default()
        };
        if backends.device_fallback.is_some() {
            registry.fell_back("device");
        }
        Self {
            recorder: Recorder::new(registry, &id),
            registry: registry.clone(),
            id,
            options,
            ends,
            parameters,
            health: Health::new(),
            output_bytes: Counter::default(),
            started_at: unix_millis(),
            details: Mutex::new(Details { backends, ..Details::default() }),
            announced: watch::Sender::new(Tracks::default()),
            input_begun: AtomicBool::new(false),
            output_begun: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            end_cause: Mutex::default(),
            media_ended: watch::Sender::new(false),
            ended: watch::Sender::new(None),
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> StreamParams {
        self.parameters.settings()
    }

    /// The frame rate limit: the worker's or the stream's own, whichever is lower.
    pub(crate) fn max_fps(&self) -> Option<u32> {
        match (self.options.target_fps, self.settings().max_framerate) {
            (Some(target), Some(max)) => Some(target.min(max)),
            (target, max) => target.or(max),
        }
    }

    pub(crate) fn params(&self) -> Params {
        self.parameters.in_force()
    }

    /// Accepts new parameters. The processor gets its own before the next frame, and the receiver hears its
    /// answer.
    pub(crate) fn update_params(&self, params: Params) -> Result<Answer, Error> {
        let (answer, outcome) = self.parameters.submit(params)?;
        if let Some(outcome) = outcome {
            self.updated(outcome);
        }
        Ok(answer)
    }

    /// Passes the parameters that arrived since the last call to the processor, using `give`.
    pub(crate) fn hand_over_params(&self, give: impl FnMut(&Params) -> Result<()>) {
        for outcome in self.parameters.hand_over(give) {
            self.updated(outcome);
        }
    }

    fn updated(&self, outcome: Update) {
        match outcome {
            Update::Taken(params) => {
                let now = self.millis();
                self.details().params_at = Some(now);
                self.event(Event::new("params_updated").with("params", params));
            }
            Update::Refused(reason) => self.error(format_args!("update_params: {reason}")),
        }
    }

    /// Waits until parameters arrive.
    pub(crate) async fn params_changed(&self) {
        self.parameters.submitted().await;
    }

    /// Announces the tracks of the following units.
    pub(crate) fn announce(&self, tracks: Tracks) {
        self.announced.send_replace(tracks);
    }

    /// The tracks that the input has announced.
    pub(crate) fn announced(&self) -> Tracks {
        *self.announced.borrow()
    }

    /// Tells the gateway of the first input.
    pub(crate) fn first_input(&self) {
        if !self.input_begun.load(Ordering::Relaxed) && !self.input_begun.swap(true, Ordering::Relaxed) {
            self.event(Event::new("receive_first_ingest_segment"));
        }
    }

    /// Tells the gateway of the first output.
    pub(crate) fn first_output(&self) {
        if !self.output_begun.load(Ordering::Relaxed) && !self.output_begun.swap(true, Ordering::Relaxed) {
            self.event(Event::new("send_first_processed_segment"));
        }
    }

    pub(crate) fn set_backend(&self, set: impl FnOnce(&mut StageBackends)) {
        let mut details = self.details();
        let before = details.backends.clone();
        set(&mut details.backends);
        if details.backends != before {
            self.count_fallbacks(&before, &details.backends);
            tracing::info!(stream = %self.id, backends = ?details.backends, "backends");
        }
    }

    /// Counts the stages of a GPU stream that fell back to the CPU.
    fn count_fallbacks(&self, before: &StageBackends, now: &StageBackends) {
        if !self.options.device.is_cuda() {
            return;
        }
        for (stage, before, now) in [
            ("video_decode", &before.video_decode, &now.video_decode),
            ("video_encode", &before.video_encode, &now.video_encode),
        ] {
            if now != before && now.as_deref().is_some_and(|name| !self.options.backends.is_on_gpu(name)) {
                self.registry.fell_back(stage);
            }
        }
    }

    /// Sets the description of the input.
    pub(crate) fn set_input(&self, input: InputInfo) {
        tracing::info!(stream = %self.id, "input: {input}");
        self.details().input = Some(input);
    }

    /// Adds what was measured from the units of its tracks.
    pub(crate) fn input_measured(&self, measured: Measured) {
        if let Some(input) = &mut self.details().input {
            input.measured(measured);
        }
    }

    pub(crate) fn set_output_size(&self, size: Size) {
        self.details().output_size = Some((size.width, size.height));
    }

    fn millis(&self) -> u64 {
        self.health.millis()
    }

    /// Sends an event to the gateway, if there is an events channel. Never waits.
    pub(crate) fn event(&self, event: Event) {
        if let Some(events) = &self.ends.events
            && events.try_send(event).is_err()
        {
            self.recorder.counts.events_dropped.add(1);
        }
    }

    /// The processor's handle for emitting data.
    pub(crate) fn emitter(&self) -> Emitter {
        self.ends.data.as_ref().map_or_else(Emitter::nowhere, Emitter::to)
    }

    /// Counts an error that does not end the stream, logs it and tells the gateway. At most one log line and
    /// one event per second are written, so that a broken input cannot flood either.
    pub(crate) fn error(&self, what: impl Display) {
        let text = one_line(what);
        self.recorder.counts.error_count.add(1);
        let millis = self.millis();
        let mut details = self.details();
        details.error_at = Some(millis);
        details.last_error = Some(text.clone());
        let now = Instant::now();
        if details.logged.is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1)) {
            details.unlogged = details.unlogged.saturating_add(1);
            return;
        }
        let unlogged = std::mem::take(&mut details.unlogged);
        details.logged = Some(now);
        // Logging may be slow, and others wait for the lock.
        drop(details);
        tracing::warn!(stream = %self.id, unlogged, "{text}");
        self.event(Event::new("error").with("message", text));
    }

    /// Counts and logs the error that ends the stream.
    pub(crate) fn fail(&self, reason: EndReason, what: impl Display) {
        let text = one_line(&what);
        self.error(&text);
        self.stop_because(reason, Some(text));
    }

    /// Asks the stream to stop. The first of several reasons is kept, unless the stream had to be abandoned.
    pub(crate) fn stop(&self, reason: EndReason) {
        self.stop_because(reason, None);
    }

    fn stop_because(&self, reason: EndReason, message: Option<String>) {
        let mut known = self.end_cause.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() || reason == EndReason::Abandoned {
            *known = Some((reason, message));
        }
        drop(known);
        self.stop.send_replace(true);
    }

    /// Why the stream ends, and the message if it is an error. Without a recorded reason, it was stopped
    /// normally.
    pub(crate) fn end_cause(&self) -> (EndReason, Option<String>) {
        let known = self.end_cause.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().unwrap_or((EndReason::Stopped, None))
    }

    /// Waits until the stream is asked to stop.
    pub(crate) async fn stopped(&self) {
        // The sender is a field of this same value, so the wait ends only when the condition holds.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Marks the end of the media; events and data are flushed next.
    pub(crate) fn end_media(&self) {
        self.media_ended.send_replace(true);
    }

    /// Waits for the end of the media.
    pub(crate) async fn media_ended(&self) {
        // As in `stopped`.
        let _ = self.media_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Marks the stream's end and logs its totals. Its metrics leave the registry.
    pub(crate) fn end(&self) {
        let (reason, message) = self.end_cause();
        self.registry.forget(&self.id);
        self.ended.send_replace(Some(Outcome { reason, at: self.millis() }));
        self.review();
        let m = self.status().metrics;
        tracing::info!(
            stream = %self.id,
            reason = reason.as_str(),
            message,
            frames_in = m.frames_in,
            frames_out = m.frames_out,
            frames_dropped = m.frames_dropped,
            frames_paced = m.frames_paced,
            frames_withheld = m.frames_withheld,
            frames_failed = m.frames_failed,
            errors = m.error_count,
            input_bytes = m.input_bytes,
            output_bytes = self.output_bytes.get(),
            output_bytes_dropped = m.output_bytes_dropped,
            uptime_s = self.millis() as f64 / 1e3,
            "ended"
        );
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        *self.ended.borrow()
    }

    /// Waits for the stream's end.
    pub(crate) async fn ended(&self) {
        // As in `stopped`.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    /// When each of these last happened.
    pub(crate) fn times(&self) -> Times {
        let since = self.state().since;
        let at = |millis: u64| self.started_at.saturating_add(millis);
        let details = self.details();
        Times {
            started: self.started_at,
            state: at(since),
            input: self.health.last_input().map(at),
            output: self.health.last_output().map(at),
            params: details.params_at.map(at),
            error: details.error_at.map(at),
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.recorder.snapshot(Instant::now());
        if let Some(data) = &self.ends.data {
            (metrics.data_lines, metrics.data_lines_dropped) = (data.emitted.get(), data.dropped.get());
        }
        metrics
    }

    pub(crate) fn status(&self) -> StreamStatus {
        let (metrics, params) = (self.metrics(), self.params());
        let (Recorded { state, .. }, outcome) = (self.state(), self.outcome());
        let details = self.details();
        StreamStatus {
            stream_id: self.id.clone(),
            state,
            metrics,
            params,
            backends: details.backends.clone(),
            input: details.input.clone(),
            output_size: details.output_size,
            uptime_s: outcome.map_or_else(|| self.millis(), |outcome| outcome.at) as f64 / 1e3,
            last_error: details.last_error.clone(),
            started_at: self.started_at,
            ended_at: outcome.map(|outcome| self.started_at.saturating_add(outcome.at)),
            end_reason: outcome.map(|outcome| outcome.reason),
        }
    }
}

fn device_name(device: &candle_core::Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}
