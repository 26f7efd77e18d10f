//! Runs a processor on some frames only.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use super::Part;
use super::in_order::InOrder;
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Runs a processor on every `n`-th frame: see [`every`].
///
/// The first frame of a stream is processed, then each n-th. Audio, the frames of a stream without input,
/// parameters and hooks reach the processor unchanged. Order is kept: frames that are not processed wait for
/// older ones still at work.
#[derive(Debug, Clone)]
pub struct Every<S> {
    stage: S,
    interval: u64,
    repeating: bool,
}

/// Gives `stage` every `n`-th frame (at least every frame). The others pass untouched, or repeat the last
/// answer if [`Every::repeating`] is set.
pub fn every<S: Stage>(n: u64, stage: S) -> Every<S> {
    Every { stage, interval: n.max(1), repeating: false }
}

impl<S> Every<S> {
    /// Replaces frames that are not processed with the processor's last answer. If it withheld its frame,
    /// they are withheld as well; if it failed, the previous answer is repeated.
    #[must_use]
    pub fn repeating(self) -> Self {
        Self { repeating: true, ..self }
    }
}

impl<S: Stage> sealed::Sealed for Every<S> {}

impl<S: Stage> Stage for Every<S> {
    type Running = EveryRunning<S::Running>;

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
        let running = self.stage.start(stream).await?;
        let (interval, repeating) = (self.interval, self.repeating);
        Ok(EveryRunning { running, interval, left: 0, repeating, last: None, waiting: InOrder::default() })
    }
}

/// [`Every`] in one stream.
#[doc(hidden)]
#[derive(Debug)]
pub struct EveryRunning<R> {
    running: R,
    interval: u64,
    /// The number of frames until the next one is due.
    left: u64,
    repeating: bool,
    last: Option<VideoFrame>,
    /// The processed frames that are at work, and the unprocessed ones behind them.
    waiting: InOrder<()>,
}

impl<R> EveryRunning<R> {
    /// Returns the output for a frame that is not processed.
    fn skipped(&self, frame: VideoFrame) -> Option<VideoFrame> {
        if !self.repeating {
            return Some(frame);
        }
        self.last.clone().map(|last| last.in_place_of(&frame))
    }

    fn remember(&mut self, answer: &Option<VideoFrame>) {
        if self.repeating {
            self.last.clone_from(answer);
        }
    }
}

impl<R> sealed::Sealed for EveryRunning<R> {}

impl<R: Running> Running for EveryRunning<R> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let id = frame.id();
        if self.left > 0 {
            self.left -= 1;
            if self.repeating {
                // The answer to repeat must be available first.
                while !self.waiting.is_empty() && self.waiting.oldest().is_some() {
                    self.running.video_ready().await;
                    self.take_finished().await;
                }
            }
            let skipped = self.skipped(frame);
            return Ok(self.waiting.done(id, skipped));
        }
        self.left = self.interval - 1;
        match self.running.start_video(frame).await? {
            Started::Done(answer) => {
                self.remember(&answer);
                Ok(self.waiting.done(id, answer))
            }
            Started::AtWork => Ok(self.waiting.at_work(id, ())),
        }
    }

    async fn video_ready(&mut self) {
        if !self.waiting.is_ready() {
            self.running.video_ready().await;
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        if !self.waiting.is_ready() {
            self.take_finished().await;
        }
        self.waiting.next()
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.running.process_audio(frame).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.running.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.running.update_params(params).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.running.stop().await
    }
}

impl<R: Running> EveryRunning<R> {
    async fn take_finished(&mut self) {
        let Some(Finished { id, result }) = self.running.finish_video().await else { return };
        if let Ok(answer) = &result {
            self.remember(answer);
        }
        if self.waiting.take(id).is_some() {
            self.waiting.answer(id, result, |()| true);
        }
    }
}
