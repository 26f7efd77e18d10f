//! Limits how long a frame waits for its processor.

use std::fmt;
use std::time::Duration;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;
use tokio::time::{Instant, sleep_until, timeout};

use super::Part;
use super::in_order::InOrder;
use super::remote::{Answer, Remote};
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext, compose};

/// Limits how long a frame waits for its processor: see [`with_timeout`].
///
/// A computation cannot be interrupted, so the processor runs on its own thread, one per stream, and only the
/// waiting is limited. A late frame is sent unprocessed, or withheld ([`Timeout::withholding`]); its answer
/// is discarded when it arrives. While the processor cannot take a frame, frames do not wait but are late at
/// once, so a processor that hangs for good costs the stream nothing but its results. Late frames are counted
/// in `frames_late`.
///
/// Audio waits, and is late, in the same way. A stream without input gets nothing for a late moment.
/// Parameters that arrive while the processor is busy are merged and delivered before its next frame. Order
/// is kept. A processor that works on several frames keeps doing so, with the limit applied to each.
/// `initialize` and `on_stream_start` are awaited without a limit, and so is `on_stream_stop`, unless the
/// processor is still busy with a late request.
#[derive(Clone)]
pub struct Timeout<S> {
    stage: S,
    limit: Duration,
    withholding: bool,
}

/// Lets no frame wait longer than `limit` for `stage`.
pub fn with_timeout<S: Stage>(stage: S, limit: Duration) -> Timeout<S> {
    Timeout { stage, limit, withholding: false }
}

impl<S: Stage> Timeout<S> {
    /// Withholds late video and audio instead of sending them unprocessed.
    #[must_use]
    pub fn withholding(self) -> Self {
        Self { withholding: true, ..self }
    }
}

impl<S: Stage> sealed::Sealed for Timeout<S> {}

impl<S: Stage> Stage for Timeout<S> {
    type Running = TimeoutRunning;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.stage.initialize(device).await
    }

    fn parts(&self) -> Vec<Part> {
        self.stage.parts()
    }

    fn takes_audio(&self) -> bool {
        self.stage.takes_audio()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Self::Running> {
        Ok(TimeoutRunning {
            remote: Remote::start(&self.stage, "timeout", stream).await?,
            limit: self.limit,
            withholding: self.withholding,
            stream: stream.clone(),
            parts: self.stage.parts(),
            params: Params::new(),
            at_work: InOrder::default(),
        })
    }
}

/// [`Timeout`] in one stream.
#[doc(hidden)]
pub struct TimeoutRunning {
    remote: Remote,
    limit: Duration,
    withholding: bool,
    stream: StreamContext,
    parts: Vec<Part>,
    /// Parameters not yet delivered to the processor.
    params: Params,
    at_work: InOrder<Waiting>,
}

/// A frame at work.
struct Waiting {
    /// When it becomes late, and what is sent for it then.
    until: Instant,
    untouched: Option<VideoFrame>,
}

impl TimeoutRunning {
    /// Delivers waiting parameters, then sends the request `ask` and returns its answer; `None` if it is
    /// late.
    async fn in_time<T>(&mut self, ask: impl FnOnce(&Remote) -> Result<Answer<T>>) -> Result<Option<T>> {
        if self.remote.is_busy() {
            return Ok(None);
        }
        if !self.params.is_empty() {
            // Errors in them are counted when they occur.
            drop(self.remote.params(std::mem::take(&mut self.params))?);
        }
        let answer = ask(&self.remote)?;
        self.wait(answer).await
    }

    async fn wait<T>(&self, answer: Answer<T>) -> Result<Option<T>> {
        match timeout(self.limit, answer).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn count_late(&self) {
        if let Some(recorder) = self.stream.recorder() {
            recorder.counts.frames_late.add(1);
        }
    }
}

impl sealed::Sealed for TimeoutRunning {}

impl Running for TimeoutRunning {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (id, until) = (frame.id(), Instant::now() + self.limit);
        let untouched = (!self.withholding).then(|| frame.clone());
        match self.in_time(|remote| remote.video(frame)).await? {
            Some(Started::Done(answer)) => Ok(self.at_work.done(id, answer)),
            Some(Started::AtWork) => Ok(self.at_work.at_work(id, Waiting { until, untouched })),
            None => {
                self.count_late();
                Ok(self.at_work.done(id, untouched))
            }
        }
    }

    async fn video_ready(&mut self) {
        while !self.at_work.is_ready() {
            let Some(until) = self.at_work.oldest().map(|oldest| oldest.until) else {
                return std::future::pending().await;
            };
            tokio::select! {
                biased;
                finished = self.remote.next_finished() => match finished {
                    // The answer to a frame that was late already is discarded.
                    Some(Finished { id, result }) => if self.at_work.take(id).is_some() {
                        self.at_work.answer(id, result, |_| true);
                    },
                    None => sleep_until(until).await,
                },
                () = sleep_until(until) => return,
            }
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        if let Some(finished) = self.at_work.next() {
            return Some(finished);
        }
        if self.at_work.oldest().is_some_and(|oldest| oldest.until <= Instant::now()) {
            self.count_late();
            return self.at_work.give_up(|late| late.untouched);
        }
        None
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        let untouched = (!self.withholding).then(|| frame.clone());
        let answer = self.in_time(|remote| remote.audio(frame)).await?;
        Ok(answer.unwrap_or_else(|| untouched.into_iter().collect()))
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        match self.in_time(|remote| remote.moment(timestamp)).await? {
            Some(generated) => Ok(generated),
            None => {
                self.count_late();
                Ok(Generated::default())
            }
        }
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        compose::collect(&mut self.params, params.clone(), &self.parts);
        if self.remote.is_busy() {
            return Ok(());
        }
        let answer = self.remote.params(std::mem::take(&mut self.params))?;
        // If it takes longer, it continues, and its error is counted when it occurs.
        self.wait(answer).await.map(|_| ())
    }

    async fn stop(&mut self) -> Result<()> {
        let late = self.remote.is_busy();
        let answer = self.remote.end()?;
        if !late {
            return answer.await;
        }
        match self.wait(answer).await? {
            Some(()) => Ok(()),
            None => Err("a processor is still at something that was late: left to itself".into()),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Timeout<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("processor", &self.stage).field("limit", &self.limit).finish()
    }
}
