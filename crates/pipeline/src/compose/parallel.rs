//! Several frames of a stream at a time, on several threads.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, FrameId, VideoFrame};
use cutrickle_media::Timestamp;

use super::Part;
use super::in_order::InOrder;
use super::remote::{Answer, Remote};
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Several frames of a stream at a time: [`parallel`].
///
/// A frame takes as long as before, and waits for those before it; `n` times as many get through. At most `n` are at work
/// or wait for an older one. Audio, and the frames of a stream without input, go to one instance more, on the stream's own
/// thread. Parameters and hooks reach all instances, parameters between the same two frames. It works in full within every
/// other combinator.
#[derive(Clone)]
pub struct Parallel<S> {
    stage: S,
    threads: usize,
}

/// Runs `n` instances of `stage` for each stream, at least one, each on a thread of its own. It must keep nothing from one
/// frame to the next.
pub fn parallel<S: Stage>(stage: S, n: usize) -> Parallel<S> {
    Parallel { stage, threads: n.max(1) }
}

impl<S: Stage> sealed::Sealed for Parallel<S> {}

impl<S: Stage> Stage for Parallel<S> {
    type Running = ParallelRunning<S::Running>;

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
        let mut running = ParallelRunning {
            own: self.stage.start(stream).await?,
            workers: Vec::new(),
            at_work: InOrder::default(),
            calls: Vec::new(),
        };
        while running.workers.len() < self.threads {
            match Remote::start(&self.stage, "parallel", stream).await {
                Ok(worker) => running.workers.push(worker),
                Err(e) => {
                    // What was started is stopped; the first error is the one to tell.
                    let _ = running.stop().await;
                    return Err(e);
                }
            }
        }
        Ok(running)
    }
}

/// [`Parallel`] in one stream.
#[doc(hidden)]
pub struct ParallelRunning<R> {
    /// For all but video.
    own: R,
    workers: Vec<Remote>,
    at_work: InOrder<()>,
    /// The frames that a worker was given and has not come back from.
    calls: Vec<Call>,
}

/// A frame at a worker.
struct Call {
    id: FrameId,
    worker: usize,
    answer: Answer<Started>,
}

impl<R: Running> ParallelRunning<R> {
    /// Waits for the next frame that a worker has done.
    async fn one_done(&mut self) {
        let done = poll_fn(|cx| {
            for (place, call) in self.calls.iter_mut().enumerate() {
                if let Poll::Ready(answer) = Pin::new(&mut call.answer).poll(cx) {
                    return Poll::Ready((place, answer));
                }
            }
            Poll::Pending
        });
        let (place, answer) = done.await;
        let Call { id, worker, .. } = self.calls.swap_remove(place);
        let result = match answer {
            Ok(Started::Done(answer)) => Ok(answer),
            // A stage that works at several frames by itself: here it has one at a time.
            Ok(Started::AtWork) => match self.workers.get_mut(worker) {
                Some(worker) => worker.next_finished().await.map_or(Ok(None), |finished| finished.result),
                None => Ok(None),
            },
            Err(e) => Err(e),
        };
        if self.at_work.take(id).is_some() {
            // Each worker answers the one frame that it has, so none before it was lost.
            self.at_work.answer(id, result, |()| false);
        }
    }

    /// Has every worker do something, and waits for all of them.
    async fn all(&self, ask: impl Fn(&Remote) -> Result<Answer<()>>) -> Result<()> {
        let asked: Vec<_> = self.workers.iter().map(ask).collect();
        let mut result = Ok(());
        for answer in asked {
            result = result.and(match answer {
                Ok(answer) => answer.await,
                Err(e) => Err(e),
            });
        }
        result
    }
}

impl<R> sealed::Sealed for ParallelRunning<R> {}

impl<R: Running> Running for ParallelRunning<R> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        // What is done and first in line goes out next: only what is behind it takes up a place.
        while self.at_work.pending() >= self.workers.len() {
            self.one_done().await;
        }
        let free = self.workers.iter().position(|worker| !worker.is_busy());
        let worker = free.ok_or("no thread is free")?;
        let id = frame.id();
        let answer = self.workers.get(worker).ok_or("no thread is free")?.video(frame)?;
        self.calls.push(Call { id, worker, answer });
        Ok(self.at_work.at_work(id, ()))
    }

    async fn video_ready(&mut self) {
        while !self.at_work.is_ready() {
            if self.calls.is_empty() {
                return pending().await;
            }
            self.one_done().await;
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.at_work.next()
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.own.process_audio(frame).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.own.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let update = self.own.update_params(params).await;
        // All have the same to say.
        update.and(self.all(|worker| worker.params(params.clone())).await)
    }

    async fn stop(&mut self) -> Result<()> {
        let stopped = self.own.stop().await;
        let all = self.all(Remote::end).await;
        self.workers.clear();
        stopped.and(all)
    }
}

impl<S: fmt::Debug> fmt::Debug for Parallel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel").field("processor", &self.stage).field("threads", &self.threads).finish()
    }
}
