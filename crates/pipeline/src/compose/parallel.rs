//! Several pictures of a stream at a time.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::Part;
use super::worker::{Call, Worker};
use crate::{Finished, FrameProcessor, Generated, Params, Result, Started, StreamContext};

/// Several pictures of a stream at a time: [`parallel`].
///
/// A picture takes as long as before, and waits for those before it; `n` times as many get through. At most `n` are at
/// work or wait for an older one. Sound, and the pictures of a stream without input, go to one clone more, on the stream's
/// own thread. Parameters and hooks reach all clones, parameters between the same two pictures.
///
/// It works in full where it is the whole processor or a part of [`Then`](super::Then), [`Named`](super::Named) and
/// [`Overlay`](super::Overlay); within the others, one picture is at work at a time.
pub struct Parallel<P> {
    /// For all but pictures.
    own: P,
    threads: usize,
    workers: Vec<Worker<P>>,
    at_work: VecDeque<AtWork>,
    context: Option<StreamContext>,
}

/// Runs `n` clones of `processor` for each stream, at least one, each on a thread of its own. It must keep nothing from
/// one picture to the next.
pub fn parallel<P: FrameProcessor>(processor: P, n: usize) -> Parallel<P> {
    Parallel {
        own: processor,
        threads: n.max(1),
        workers: Vec::new(),
        at_work: VecDeque::new(),
        context: None,
    }
}

struct AtWork {
    timestamp: i64,
    state: State,
}

enum State {
    Called(Call<Option<VideoFrame>>),
    Done(Result<Option<VideoFrame>>),
}

impl AtWork {
    /// Waits until it is done. Safe to cancel.
    async fn done(&mut self) {
        if let State::Called(call) = &mut self.state {
            let result = call.await;
            self.state = State::Done(result);
        }
    }
}

impl<P: FrameProcessor> Parallel<P> {
    fn start_workers(&mut self) -> Result<()> {
        while self.workers.len() < self.threads {
            self.workers.push(Worker::start(self.own.clone(), "parallel", self.context.clone())?);
        }
        Ok(())
    }

    /// Has every worker do `work`, and waits for all of them.
    async fn all<W>(&self, work: W) -> Result<()>
    where
        W: AsyncFnOnce(&mut P) -> Result<()> + Clone + Send + 'static,
    {
        let calls: Vec<_> = self.workers.iter().map(|worker| worker.call(work.clone())).collect();
        let mut result = Ok(());
        for call in calls {
            result = result.and(match call {
                Ok(call) => call.await,
                Err(e) => Err(e),
            });
        }
        result
    }
}

impl<P: FrameProcessor> FrameProcessor for Parallel<P> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.own.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        self.start_video(frame).await?;
        match self.finish_video().await {
            Some(Finished { result, .. }) => result,
            None => Ok(None),
        }
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.own.process_audio(frame).await
    }

    fn takes_audio(&mut self) -> bool {
        self.own.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        self.own.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let update = self.own.update_params(params).await;
        let params = params.clone();
        // All have the same to say.
        update.and(self.all(async move |processor: &mut P| processor.update_params(&params).await).await)
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.context = Some(stream.clone());
        self.workers.clear();
        self.start_workers()?;
        self.own.on_stream_start(stream).await?;
        let stream = stream.clone();
        self.all(async move |processor: &mut P| processor.on_stream_start(&stream).await).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        let stopped = self.own.on_stream_stop().await;
        let all = self.all(async move |processor: &mut P| processor.on_stream_stop().await).await;
        self.workers.clear();
        stopped.and(all)
    }

    fn parts(&self) -> Vec<Part> {
        self.own.parts()
    }

    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        self.start_workers()?;
        // What is done and first in line goes out next: only what is behind it takes up a place.
        loop {
            let first =
                self.at_work.iter().take_while(|at_work| matches!(at_work.state, State::Done(_))).count();
            if self.at_work.len() - first < self.threads {
                break;
            }
            if let Some(oldest) = self.at_work.get_mut(first) {
                oldest.done().await;
            }
        }
        let free = self.workers.iter().find(|worker| !worker.is_busy());
        let worker = free.ok_or("no thread is free")?;
        let timestamp = frame.timestamp();
        let call = worker.call(async move |processor: &mut P| processor.process_video(frame).await)?;
        self.at_work.push_back(AtWork { timestamp, state: State::Called(call) });
        Ok(Started::AtWork)
    }

    async fn video_ready(&mut self) {
        match self.at_work.front_mut() {
            Some(oldest) => oldest.done().await,
            None => pending().await,
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.at_work.front_mut()?.done().await;
        match self.at_work.pop_front()? {
            AtWork { timestamp, state: State::Done(result) } => Some(Finished { timestamp, result }),
            AtWork { state: State::Called(_), .. } => None,
        }
    }
}

impl<P: Clone> Clone for Parallel<P> {
    /// A clone has threads of its own, once it is used.
    fn clone(&self) -> Self {
        Self {
            own: self.own.clone(),
            threads: self.threads,
            workers: Vec::new(),
            at_work: VecDeque::new(),
            context: None,
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Parallel<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel").field("processor", &self.own).field("threads", &self.threads).finish()
    }
}
