//! The state of a stream, judged by what arrives, what fails, and what is sent. Changes are recorded and
//! logged as they happen. Reacting to them is left to others, except that a stream is ended if its input
//! brings no media for too long.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::ends::{Away, Channel};
use crate::stream::Stream;
use crate::{EndReason, StreamState};

/// The number of consecutive failures after which they determine the state.
const REPEATED: u32 = 3;
/// Input that is silent for this long counts as missing.
const SILENCE: Duration = Duration::from_secs(3);

/// The measurements from which a stream's state is judged.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    /// Milliseconds from the start to the latest input bytes, frame or audio, and output, plus one; 0 if
    /// there was none yet.
    last_input: AtomicU64,
    last_media: AtomicU64,
    last_output: AtomicU64,
    decode_failures: AtomicU32,
    process_failures: AtomicU32,
    /// The channels whose other side accepts nothing, as bits.
    away: AtomicU8,
    /// The recorded state, for comparing without the lock.
    shown: AtomicU8,
    recorded: Mutex<Recorded>,
    /// Whether a task waits for input to return.
    awaited: AtomicBool,
    returned: Notify,
}

/// A state, and since when it holds, in milliseconds from the stream's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) state: StreamState,
    pub(crate) since: u64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            last_input: AtomicU64::new(0),
            last_media: AtomicU64::new(0),
            last_output: AtomicU64::new(0),
            decode_failures: AtomicU32::new(0),
            process_failures: AtomicU32::new(0),
            away: AtomicU8::new(0),
            shown: AtomicU8::new(StreamState::Loading as u8),
            recorded: Mutex::new(Recorded { state: StreamState::Loading, since: 0 }),
            awaited: AtomicBool::new(false),
            returned: Notify::new(),
        }
    }

    /// Milliseconds since the stream's start.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    pub(crate) fn last_input(&self) -> Option<u64> {
        self.last_input.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(crate) fn last_output(&self) -> Option<u64> {
        self.last_output.load(Ordering::Relaxed).checked_sub(1)
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> Away {
        Away(self.away.load(Ordering::Relaxed))
    }

    fn is_silent(&self) -> bool {
        let silent = self.millis().saturating_sub(self.last_input().unwrap_or(0));
        Duration::from_millis(silent) >= SILENCE
    }

    /// The moment when the input has been silent for `longest` since `last`.
    fn due(&self, last: &AtomicU64, longest: Duration) -> Instant {
        let last = last.load(Ordering::Relaxed).saturating_sub(1);
        // Milliseconds are rounded down, so one is added to be sure that the time has passed.
        self.started + Duration::from_millis(last.saturating_add(1)) + longest
    }

    /// The current state, and the reason for it.
    fn judge(&self, ended: Option<EndReason>) -> (StreamState, &'static str) {
        match ended {
            Some(reason) if reason.is_error() => return (StreamState::Error, reason.as_str()),
            Some(reason) => return (StreamState::Offline, reason.as_str()),
            None => {}
        }
        let away = self.away();
        if let Some(why) = Channel::ALL.into_iter().find_map(|channel| away.reason(channel)) {
            return (StreamState::DegradedOutput, why);
        }
        if self.process_failures.load(Ordering::Relaxed) >= REPEATED {
            (StreamState::DegradedInference, "the processor fails again and again")
        } else if self.decode_failures.load(Ordering::Relaxed) >= REPEATED {
            (StreamState::DegradedInput, "the input cannot be decoded")
        } else if self.is_silent() {
            (StreamState::DegradedInput, "no input for 3 s")
        } else if self.last_output().is_none() {
            (StreamState::Loading, "nothing has come out yet")
        } else {
            (StreamState::Online, "input comes and output leaves")
        }
    }
}

impl Stream {
    /// Records and logs the state if it has changed. Called by everything that may change it.
    pub(crate) fn review(&self) {
        let health = &self.health;
        let ended = self.outcome().map(|outcome| outcome.reason);
        if health.judge(ended).0 as u8 == health.shown.load(Ordering::Relaxed) {
            return;
        }
        let mut recorded = health.recorded();
        // Judged again under the lock, so that the last state recorded is the newest.
        let ended = self.outcome().map(|outcome| outcome.reason);
        let (state, why) = health.judge(ended);
        let from = recorded.state;
        if from == state {
            return;
        }
        *recorded = Recorded { state, since: health.millis() };
        health.shown.store(state as u8, Ordering::Relaxed);
        drop(recorded);
        tracing::info!(stream = %self.id, ?from, to = ?state, why, "state");
    }

    /// The state, and since when it holds.
    pub(crate) fn state(&self) -> Recorded {
        self.review();
        *self.health.recorded()
    }

    /// Records that bytes of input have arrived.
    pub(crate) fn input_seen(&self) {
        let health = &self.health;
        health.last_input.store(health.millis().saturating_add(1), Ordering::Relaxed);
        if health.awaited.swap(false, Ordering::AcqRel) {
            health.returned.notify_one();
        }
        self.review();
    }

    /// Records that a frame or audio has arrived.
    pub(crate) fn media_seen(&self) {
        self.health.last_media.store(self.health.millis().saturating_add(1), Ordering::Relaxed);
    }

    /// Records that output was sent. What an unreachable server seems to accept does not count.
    pub(crate) fn output_seen(&self) {
        let health = &self.health;
        if health.away().reason(Channel::Output).is_none() {
            health.last_output.store(health.millis().saturating_add(1), Ordering::Relaxed);
            self.review();
        }
    }

    pub(crate) fn decoded(&self, ok: bool) {
        count(&self.health.decode_failures, ok);
        self.review();
    }

    pub(crate) fn processed(&self, ok: bool) {
        count(&self.health.process_failures, ok);
        self.review();
    }

    /// Records whether the other side of `channel` accepts what it is sent.
    pub(crate) fn delivers(&self, channel: Channel, ok: bool) {
        if ok {
            self.health.away.fetch_and(!channel.bit(), Ordering::Relaxed);
        } else {
            self.health.away.fetch_or(channel.bit(), Ordering::Relaxed);
        }
        self.review();
    }
}

/// Detects missing input until the stream has ended: input that falls silent, and input that brings no media
/// for so long that the stream is ended.
pub(crate) async fn watch(stream: Arc<Stream>) {
    tokio::select! {
        () = stream.ended() => {}
        () = notice_silence(&stream) => {}
        () = end_without_input(&stream) => {}
    }
}

async fn notice_silence(stream: &Stream) {
    let health = &stream.health;
    loop {
        let due = health.due(&health.last_input, SILENCE);
        if Instant::now() < due {
            sleep_until(due).await;
            continue;
        }
        stream.review();
        health.awaited.store(true, Ordering::Release);
        // Input that arrived in the meantime has not sent a notification.
        if Instant::now() >= health.due(&health.last_input, SILENCE) {
            health.returned.notified().await;
        }
    }
}

async fn end_without_input(stream: &Stream) {
    if let (Some(longest), true) = (stream.options.input_timeout, stream.ends.input) {
        let due = || stream.health.due(&stream.health.last_media, longest);
        while Instant::now() < due() {
            sleep_until(due()).await;
        }
        let what = format_args!("input: neither pictures nor sound for {longest:?}").to_string();
        stream.fail(EndReason::InputTimeout, what);
    }
    std::future::pending().await
}

fn count(failures: &AtomicU32, ok: bool) {
    if ok {
        failures.store(0, Ordering::Relaxed);
    } else {
        failures.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Attached;
    use crate::updates::Parameters;
    use crate::{MetricsRegistry, Params, StreamOptions, StreamParams};

    fn stream(input_timeout: Option<Duration>) -> Arc<Stream> {
        let options = StreamOptions { input_timeout, ..StreamOptions::default() };
        let ends = Attached { input: true, output: true, ..Attached::default() };
        let parameters = Parameters::new(StreamParams::default(), Params::new(), Vec::new()).unwrap();
        let registry = MetricsRegistry::new().unwrap();
        let stream = Stream::new("s".into(), parameters, options, &registry, ends);
        let stream = Arc::new(stream);
        tokio::spawn(watch(Arc::clone(&stream)));
        stream
    }

    async fn after(millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// What was recorded, without a new judgement.
    fn recorded(stream: &Stream) -> (StreamState, u64) {
        let Recorded { state, since } = *stream.health.recorded();
        (state, since)
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_recorded_when_they_happen_though_nobody_asks() {
        let stream = stream(None);
        after(500).await;
        stream.input_seen();
        stream.output_seen();
        assert_eq!(recorded(&stream), (StreamState::Online, 500));
        after(10_000).await;
        let (state, silent_since) = recorded(&stream);
        assert_eq!(state, StreamState::DegradedInput);
        assert!((3_500..3_510).contains(&silent_since), "{silent_since}");
        stream.input_seen();
        assert_eq!(recorded(&stream), (StreamState::Online, 10_500));
        after(20_000).await;
        let (state, silent_since) = recorded(&stream);
        assert_eq!(state, StreamState::DegradedInput);
        assert!((13_500..13_510).contains(&silent_since), "{silent_since}");
        stream.stop(EndReason::Stopped);
        stream.end();
        assert_eq!(recorded(&stream), (StreamState::Offline, 30_500));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_online_whose_output_does_not_leave() {
        let stream = stream(None);
        stream.input_seen();
        for channel in Channel::ALL {
            stream.delivers(channel, false);
            stream.output_seen();
            assert_eq!(stream.state().state, StreamState::DegradedOutput);
            stream.delivers(channel, true);
        }
        assert_ne!(stream.state().state, StreamState::DegradedOutput);
        stream.output_seen();
        assert_eq!(stream.state().state, StreamState::Online);
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_are_a_state_and_a_success_ends_it() {
        let stream = stream(None);
        stream.input_seen();
        stream.output_seen();
        for (fail, state) in [
            (Stream::decoded as fn(&Stream, bool), StreamState::DegradedInput),
            (Stream::processed, StreamState::DegradedInference),
        ] {
            for _ in 0..REPEATED {
                assert_eq!(recorded(&stream).0, StreamState::Online);
                fail(&stream, false);
            }
            assert_eq!(recorded(&stream).0, state);
            fail(&stream, true);
        }
        assert_eq!(recorded(&stream).0, StreamState::Online);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_without_pictures_and_sound_do_not_keep_a_stream() {
        let stream = stream(Some(Duration::from_secs(60)));
        after(30_000).await;
        stream.media_seen();
        for _ in 0..59 {
            after(1_000).await;
            stream.input_seen();
        }
        assert_eq!(stream.end_cause().0, EndReason::Stopped, "no reason yet");
        stream.stopped().await;
        let (reason, message) = stream.end_cause();
        assert_eq!(reason, EndReason::InputTimeout);
        assert_eq!(message.as_deref(), Some("input: neither pictures nor sound for 60s"));
        assert!((90_000..90_010).contains(&stream.health.millis()));
    }
}
