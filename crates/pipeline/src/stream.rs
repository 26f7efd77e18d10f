//! What the threads and tasks of one stream share: its counters, settings, parameters and state.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutrickle_codec::{AudioFormat, open};
use tokio::sync::{mpsc, watch};

use crate::data::{Emitter, Lines};
use crate::events::{Event, unix_millis};
use crate::metrics::Recorder;
use crate::updates::{Answer, Outcome as Update, Parameters};
use crate::{
    Backends, EndReason, Error, Metrics, MetricsRegistry, Params, Result, StreamOptions, StreamParams,
    StreamState, StreamStatus,
};

/// What the input announces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) video: bool,
    pub(crate) audio: Option<AudioFormat>,
    pub(crate) opus_channels: Option<u8>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reason: EndReason,
    /// In milliseconds from the stream's start.
    at: u64,
}

/// When what happened last, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) started: u64,
    pub(crate) state: u64,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) params: Option<u64>,
    pub(crate) error: Option<u64>,
}

/// The ends of a stream: which of them it has, and the queues of those beside its media.
#[derive(Debug, Default)]
pub(crate) struct Ends {
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
    pub(crate) ends: Ends,
    pub(crate) parameters: Parameters,
    started: Instant,
    started_at: u64,
    details: Mutex<Details>,
    announced: watch::Sender<Announced>,
    /// Milliseconds from the start to the newest input and output, plus one; 0: none yet.
    last_input: AtomicU64,
    last_output: AtomicU64,
    decode_failures: AtomicU32,
    process_failures: AtomicU32,
    stop: watch::Sender<bool>,
    end_reason: Mutex<Option<EndReason>>,
    media_ended: watch::Sender<bool>,
    ended: watch::Sender<Option<Outcome>>,
}

#[derive(Debug, Default)]
struct Details {
    backends: Backends,
    output_size: Option<(u32, u32)>,
    last_error: Option<String>,
    /// Milliseconds from the start to the newest parameters, error, and change of state.
    params_at: Option<u64>,
    error_at: Option<u64>,
    state: Option<(StreamState, u64)>,
    /// When an error was last logged, and how many came since.
    logged: Option<Instant>,
    unlogged: u64,
}

/// So many failures in a row make a state of it.
const REPEATED: u32 = 3;
/// Input silent for so long is missing.
const SILENCE: Duration = Duration::from_secs(3);

impl Stream {
    pub(crate) fn new(
        id: String,
        parameters: Parameters,
        options: StreamOptions,
        registry: &MetricsRegistry,
        ends: Ends,
    ) -> Self {
        let backends = Backends {
            device: Some(device_name(&options.device)),
            device_fallback: options.device_fallback.clone(),
            ..Backends::default()
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
            started: Instant::now(),
            started_at: unix_millis(),
            details: Mutex::new(Details { backends, ..Details::default() }),
            announced: watch::Sender::new(Announced::default()),
            last_input: AtomicU64::new(0),
            last_output: AtomicU64::new(0),
            decode_failures: AtomicU32::new(0),
            process_failures: AtomicU32::new(0),
            stop: watch::Sender::new(false),
            end_reason: Mutex::default(),
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

    /// The frame rate not to go beyond: the worker's or the stream's own, whichever is lower.
    pub(crate) fn most_fps(&self) -> Option<u32> {
        match (self.options.target_fps, self.settings().max_framerate) {
            (Some(target), Some(most)) => Some(target.min(most)),
            (target, most) => target.or(most),
        }
    }

    pub(crate) fn params(&self) -> Params {
        self.parameters.in_force()
    }

    /// Takes new parameters; the processor is given its own before the next frame, and its answer is heard by the receiver.
    pub(crate) fn update_params(&self, params: Params) -> Result<Answer, Error> {
        let (answer, outcome) = self.parameters.submit(params)?;
        if let Some(outcome) = outcome {
            self.updated(outcome);
        }
        Ok(answer)
    }

    /// Gives the processor, by `give`, the parameters that came since the last call.
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

    /// Waits until parameters come.
    pub(crate) async fn params_changed(&self) {
        self.parameters.submitted().await;
    }

    pub(crate) fn announce(&self, announced: Announced) {
        self.announced.send_replace(announced);
    }

    pub(crate) fn announced(&self) -> Announced {
        *self.announced.borrow()
    }

    pub(crate) fn set_backend(&self, set: impl FnOnce(&mut Backends)) {
        let mut details = self.details();
        let before = details.backends.clone();
        set(&mut details.backends);
        if details.backends != before {
            self.count_fallbacks(&before, &details.backends);
            tracing::info!(stream = %self.id, backends = ?details.backends, "backends");
        }
    }

    /// On a GPU, a stage that the host has newly taken over.
    fn count_fallbacks(&self, before: &Backends, now: &Backends) {
        if !self.options.device.is_cuda() {
            return;
        }
        for (stage, before, now) in [
            ("video_decode", &before.video_decode, &now.video_decode),
            ("video_encode", &before.video_encode, &now.video_encode),
        ] {
            if now != before && now.as_deref().is_some_and(|name| !open::is_on_gpu(name)) {
                self.registry.fell_back(stage);
            }
        }
    }

    pub(crate) fn set_output_size(&self, size: (u32, u32)) {
        self.details().output_size = Some(size);
    }

    pub(crate) fn input_seen(&self) {
        self.last_input.store(self.millis() + 1, Ordering::Relaxed);
    }

    pub(crate) fn output_seen(&self) {
        self.last_output.store(self.millis() + 1, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Tells the gateway, if it listens. Never waits.
    pub(crate) fn event(&self, event: Event) {
        if let Some(events) = &self.ends.events
            && events.try_send(event).is_err()
        {
            self.recorder.events_dropped.add(1);
        }
    }

    /// Where the processor puts its data.
    pub(crate) fn emitter(&self) -> Emitter {
        self.ends.data.as_ref().map_or_else(Emitter::nowhere, Emitter::to)
    }

    /// Counts an error that the stream survives, logs it and tells the gateway: one line and one event a second at
    /// most, so that a broken input cannot flood either.
    pub(crate) fn error(&self, what: impl Display) {
        let text = one_line(&what);
        self.recorder.errors.add(1);
        let millis = self.millis();
        let mut details = self.details();
        details.error_at = Some(millis);
        let now = Instant::now();
        if details.logged.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            let unlogged = std::mem::take(&mut details.unlogged);
            details.logged = Some(now);
            tracing::warn!(stream = %self.id, unlogged, "{text}");
            self.event(Event::new("error").with("message", text.as_str()));
        } else {
            details.unlogged += 1;
        }
        details.last_error = Some(text);
    }

    /// Counts and logs the error that ends the stream.
    pub(crate) fn fail(&self, reason: EndReason, what: impl Display) {
        self.error(what);
        self.stop(reason);
    }

    pub(crate) fn decoded(&self, ok: bool) {
        count(&self.decode_failures, ok);
    }

    pub(crate) fn processed(&self, ok: bool) {
        count(&self.process_failures, ok);
    }

    /// Asks the stream to end. Of several reasons the first one counts, unless the stream had to be abandoned.
    pub(crate) fn stop(&self, reason: EndReason) {
        let mut known = self.end_reason.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() || reason == EndReason::Abandoned {
            *known = Some(reason);
        }
        drop(known);
        self.stop.send_replace(true);
    }

    /// Waits until the stream is asked to end.
    pub(crate) async fn stopped(&self) {
        // The sender is a field of this very value, so waiting can only end by the condition.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Marks the end of pictures and sound: what is beside them is flushed now.
    pub(crate) fn end_media(&self) {
        self.media_ended.send_replace(true);
    }

    /// Waits for the end of pictures and sound.
    pub(crate) async fn media_ended(&self) {
        // As in `stopped`.
        let _ = self.media_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Marks the stream's end; its figures leave the registry.
    pub(crate) fn end(&self) {
        let reason = *self.end_reason.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = Outcome { reason: reason.unwrap_or(EndReason::Stopped), at: self.millis() };
        self.registry.forget(&self.id);
        self.ended.send_replace(Some(outcome));
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        *self.ended.borrow()
    }

    /// Waits for the stream's end.
    pub(crate) async fn ended(&self) {
        // As in `stopped`.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    pub(crate) fn state(&self) -> StreamState {
        match self.outcome() {
            Some(outcome) if outcome.reason.is_error() => return StreamState::Error,
            Some(_) => return StreamState::Offline,
            None => {}
        }
        let silent = match self.last_input.load(Ordering::Relaxed) {
            0 => self.started.elapsed(),
            at => Duration::from_millis(self.millis().saturating_sub(at - 1)),
        };
        if self.process_failures.load(Ordering::Relaxed) >= REPEATED {
            StreamState::DegradedInference
        } else if silent > SILENCE || self.decode_failures.load(Ordering::Relaxed) >= REPEATED {
            StreamState::DegradedInput
        } else if self.last_output.load(Ordering::Relaxed) == 0 {
            StreamState::Loading
        } else {
            StreamState::Online
        }
    }

    /// When what happened last.
    pub(crate) fn times(&self) -> Times {
        let state = self.state();
        let at = |millis: u64| self.started_at.saturating_add(millis);
        let seen = |newest: &AtomicU64| newest.load(Ordering::Relaxed).checked_sub(1).map(at);
        let now = self.millis();
        let mut details = self.details();
        let since = match details.state {
            Some((known, since)) if known == state => since,
            _ => now,
        };
        details.state = Some((state, since));
        Times {
            started: self.started_at,
            state: at(since),
            input: seen(&self.last_input),
            output: seen(&self.last_output),
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
        let (state, outcome) = (self.state(), self.outcome());
        let details = self.details();
        StreamStatus {
            stream_id: self.id.clone(),
            state,
            metrics,
            params,
            backends: details.backends.clone(),
            output_size: details.output_size,
            uptime_s: outcome.map_or_else(|| self.millis(), |outcome| outcome.at) as f64 / 1e3,
            last_error: details.last_error.clone(),
            started_at: self.started_at,
            ended_at: outcome.map(|outcome| self.started_at.saturating_add(outcome.at)),
            end_reason: outcome.map(|outcome| outcome.reason),
        }
    }
}

fn count(failures: &AtomicU32, ok: bool) {
    if ok {
        failures.store(0, Ordering::Relaxed);
    } else {
        failures.fetch_add(1, Ordering::Relaxed);
    }
}

fn device_name(device: &candle_core::Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// An error in one line: candle's carry backtraces.
pub(crate) fn one_line(what: &impl Display) -> String {
    let text = what.to_string();
    text.lines().next().unwrap_or_default().trim_end().to_owned()
}
