//! A limit to how long a picture waits for its processor.

use std::fmt;
use std::time::Duration;

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::Part;
use super::worker::{Call, Worker};
use crate::{FrameProcessor, Generated, Params, Result, StreamContext, compose};

/// A limit to how long a picture waits for its processor: [`with_timeout`].
///
/// A computation cannot be interrupted. So the processor computes on a thread of its own, one for each stream, and what is
/// limited is the waiting. A picture that is late goes out as it came, or is withheld ([`Timeout::withholding`]); its answer
/// is thrown away when it comes. Until it comes, pictures do not wait at all: each of them is late at once, so a processor
/// that hangs for good costs the stream nothing but itself. Late pictures are counted as `frames_late`.
///
/// Sound waits, and is late, in the same way. A stream without input gets nothing for a moment that is late. Parameters
/// that come while the processor is busy are merged, and given to it before its next picture. Order is kept, one picture
/// is at work at a time, and memory is bounded by it. `initialize` and `on_stream_start` are waited for without limit;
/// `on_stream_stop` as well, unless the processor is still at something that was late.
pub struct Timeout<P> {
    /// What streams are given clones of, and what says which parts there are.
    prototype: P,
    limit: Duration,
    withholding: bool,
    worker: Option<Worker<P>>,
    context: Option<StreamContext>,
    /// Parameters that the processor has not been given.
    waiting: Params,
}

/// Lets no picture wait for `processor` longer than `limit`.
pub fn with_timeout<P: FrameProcessor>(processor: P, limit: Duration) -> Timeout<P> {
    Timeout {
        prototype: processor,
        limit,
        withholding: false,
        worker: None,
        context: None,
        waiting: Params::new(),
    }
}

impl<P: FrameProcessor> Timeout<P> {
    /// Withholds what is late, pictures and sound, in the place of letting it pass unprocessed.
    #[must_use]
    pub fn withholding(self) -> Self {
        Self { withholding: true, ..self }
    }

    fn worker(&mut self) -> Result<&Worker<P>> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.prototype.clone(), "timeout", self.context.clone())?,
        };
        Ok(self.worker.insert(worker))
    }

    /// What `work` answers, the parameters that wait given to the processor before; `None` if that is late.
    async fn in_time<T, W>(&mut self, work: W) -> Result<Option<T>>
    where
        T: Send + 'static,
        W: AsyncFnOnce(&mut P) -> Result<T> + Send + 'static,
    {
        if self.worker()?.is_busy() {
            return Ok(None);
        }
        let (params, context) = (std::mem::take(&mut self.waiting), self.context.clone());
        let call = self.worker()?.call(async move |processor: &mut P| {
            if !params.is_empty()
                && let Err(e) = processor.update_params(&params).await
                && let Some(context) = context
            {
                context.error(chain(&*e));
            }
            work(processor).await
        })?;
        self.wait(call).await
    }

    async fn wait<T>(&self, call: Call<T>) -> Result<Option<T>> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn count_late(&self) {
        if let Some(recorder) = self.context.as_ref().and_then(StreamContext::recorder) {
            recorder.late.add(1);
        }
    }
}

impl<P: FrameProcessor> FrameProcessor for Timeout<P> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.prototype.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let untouched = (!self.withholding).then(|| frame.clone());
        match self.in_time(async move |processor: &mut P| processor.process_video(frame).await).await? {
            Some(answer) => Ok(answer),
            None => {
                self.count_late();
                Ok(untouched)
            }
        }
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        let untouched = (!self.withholding).then(|| frame.clone());
        let answer =
            self.in_time(async move |processor: &mut P| processor.process_audio(frame).await).await?;
        Ok(answer.unwrap_or_else(|| untouched.into_iter().collect()))
    }

    fn takes_audio(&mut self) -> bool {
        self.prototype.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        match self.in_time(async move |processor: &mut P| processor.generate(timestamp).await).await? {
            Some(generated) => Ok(generated),
            None => {
                self.count_late();
                Ok(Generated::default())
            }
        }
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        compose::collect(&mut self.waiting, params.clone(), &self.prototype.parts());
        if self.worker()?.is_busy() {
            return Ok(());
        }
        let params = std::mem::take(&mut self.waiting);
        let call =
            self.worker()?.call(async move |processor: &mut P| processor.update_params(&params).await)?;
        // Where it takes longer it goes on, and its error is counted when it comes.
        self.wait(call).await.map(|_| ())
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.context = Some(stream.clone());
        self.worker = None;
        let stream = stream.clone();
        self.worker()?.call(async move |processor: &mut P| processor.on_stream_start(&stream).await)?.await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        let Some(worker) = self.worker.take() else { return Ok(()) };
        let late = worker.is_busy();
        let call = worker.call(async move |processor: &mut P| processor.on_stream_stop().await)?;
        if !late {
            return call.await;
        }
        match self.wait(call).await? {
            Some(()) => Ok(()),
            None => Err("a processor is still at something that was late: left to itself".into()),
        }
    }

    fn parts(&self) -> Vec<Part> {
        self.prototype.parts()
    }
}

impl<P: Clone> Clone for Timeout<P> {
    /// A clone has a thread of its own, once it is used.
    fn clone(&self) -> Self {
        Self {
            prototype: self.prototype.clone(),
            limit: self.limit,
            withholding: self.withholding,
            worker: None,
            context: None,
            waiting: self.waiting.clone(),
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Timeout<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("processor", &self.prototype).field("limit", &self.limit).finish()
    }
}
