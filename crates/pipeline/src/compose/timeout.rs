//! A limit to how long a frame waits for its processor.

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

/// A limit to how long a frame waits for its processor: [`with_timeout`].
///
/// A computation cannot be interrupted. So the processor computes on a thread of its own, one for each stream, and what is
/// limited is the waiting. A frame that is late goes out as it came, or is withheld ([`Timeout::withholding`]); its answer
/// is thrown away when it comes. While the processor can take no frame, frames do not wait at all: each of them is late at
/// once, so a processor that hangs for good costs the stream nothing but itself. Late frames are counted as `frames_late`.
///
/// Audio waits, and is late, in the same way. A stream without input gets nothing for a moment that is late. Parameters
/// that come while the processor is busy are merged, and given to it before its next frame. Order is kept. A processor that
/// works at several frames goes on doing so, each of them under the limit. `initialize` and `on_stream_start` are waited for
/// without limit; `on_stream_stop` as well, unless the processor is still at something that was late.
#[derive(Clone)]
pub struct Timeout<S> {
    stage: S,
    limit: Duration,
    withholding: bool,
}

/// Lets no frame wait for `stage` longer than `limit`.
pub fn with_timeout<S: Stage>(stage: S, limit: Duration) -> Timeout<S> {
    Timeout { stage, limit, withholding: false }
}

impl<S: Stage> Timeout<S> {
    /// Withholds what is late, video and audio, instead of letting it pass unprocessed.
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
    /// Parameters that the processor has not been given.
    params: Params,
    at_work: InOrder<Waiting>,
}

/// A frame at work.
struct Waiting {
    /// When it is late, and what goes out for it then.
    until: Instant,
    untouched: Option<VideoFrame>,
}

impl TimeoutRunning {
    /// What the processor answers to `ask`, given the parameters that wait before; `None` if that is late.
    async fn in_time<T>(
        &mut self,
        ask: impl FnOnce(&Remote) -> Result<Answer<T>>,
    ) -> Result<Option<T>> {
        if self.remote.is_busy() {
            return Ok(None);
        }
        if !self.params.is_empty() {
            // What is wrong with them is counted when it is found out.
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
                    // One that was late already is not waited for any more.
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
        // Where it takes longer it goes on, and its error is counted when it comes.
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
