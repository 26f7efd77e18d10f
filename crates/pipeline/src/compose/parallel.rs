//! Several frames of a stream at once, on several threads.

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

/// Processes several frames of a stream at once: see [`parallel`].
///
/// Each frame takes as long as before and waits for earlier frames; the throughput is `n` times as high. At
/// most `n` frames are at work or wait for an older one. Audio, and the frames of a stream without input, go
/// to one additional instance on the stream's own thread. Parameters and hooks reach all instances, and
/// parameters reach them between the same two frames. It keeps its full effect within every
/// other combinator but [`Every::repeating`](super::Every::repeating), which needs each answer before the next frame.
#[derive(Clone)]
pub struct Parallel<S> {
    stage: S,
    threads: usize,
}

/// Runs `n` instances of `stage` (at least one) for each stream, each on its own thread. `stage` must not
/// keep state from one frame to the next.
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
                    // Stop what was started, and return the first error.
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
    /// Handles everything except video.
    own: R,
    workers: Vec<Remote>,
    at_work: InOrder<()>,
    /// The frames that workers have received and not yet returned.
    calls: Vec<Call>,
}

/// A frame given to a worker.
struct Call {
    id: FrameId,
    worker: usize,
    answer: Answer<Started>,
}

impl<R: Running> ParallelRunning<R> {
    /// Waits for the next frame that a worker has finished.
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
            // The stage works on several frames by itself, but has only one at a time here.
            Ok(Started::AtWork) => match self.workers.get_mut(worker) {
                Some(worker) => worker.next_finished().await.map_or(Ok(None), |finished| finished.result),
                None => Ok(None),
            },
            Err(e) => Err(e),
        };
        if self.at_work.take(id).is_some() {
            // Each worker answers the one frame it has, so no earlier one was lost.
            self.at_work.answer(id, result, |()| false);
        }
    }

    /// Sends a request to every worker and waits for all answers.
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
        // A finished frame that is first in line is returned next, so only what is behind it counts.
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
        // Every instance gives the same answer.
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
