//! Several frames of a stream in flight at once, on the stream's own thread.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, FrameId, VideoFrame};
use cutrickle_media::Timestamp;

use super::Part;
use super::in_order::InOrder;
use crate::process::caught;
use crate::stage::{Finished, Running, Started, process_video, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Keeps several frames of a stream in flight, for processors that await: see [`buffered`].
///
/// Each frame takes as long as before and waits for earlier frames; up to `n` are in flight. This does not
/// help a processor that computes on the CPU; use [`parallel`](super::parallel) for that. Audio, and the
/// frames of a stream without input, go to a separate instance. Parameters and hooks reach all instances.
/// Parameters wait until everything in flight is finished, so that all instances apply them between the same
/// two frames.
#[derive(Clone)]
pub struct Buffered<S> {
    stage: S,
    in_flight: usize,
}

/// Keeps up to `n` frames of a stream (at least one) in flight, in as many instances of `stage`. The
/// instances await sockets, timers or a device on the stream's own thread. `stage` must not keep state from
/// one frame to the next.
pub fn buffered<S: Stage>(stage: S, n: usize) -> Buffered<S> {
    Buffered { stage, in_flight: n.max(1) }
}

impl<S: Stage> sealed::Sealed for Buffered<S> {}

impl<S: Stage> Stage for Buffered<S> {
    type Running = BufferedRunning<S::Running>;

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
        let own = self.stage.start(stream).await?;
        let mut running =
            BufferedRunning { own, idle: Vec::new(), flying: Vec::new(), at_work: InOrder::default() };
        while running.idle.len() < self.in_flight {
            match self.stage.start(stream).await {
                Ok(instance) => running.idle.push(instance),
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

/// [`Buffered`] in one stream.
#[doc(hidden)]
pub struct BufferedRunning<R> {
    /// Handles everything except video.
    own: R,
    idle: Vec<R>,
    flying: Vec<Flying<R>>,
    at_work: InOrder<()>,
}

/// An instance with its frame. Boxed because the type of a user's future cannot be named; this is one
/// allocation per frame, for a call that awaits.
struct Flying<R> {
    id: FrameId,
    call: Pin<Box<dyn Future<Output = Answered<R>>>>,
}

/// An instance that is free again, and its answer.
type Answered<R> = (R, Result<Option<VideoFrame>>);

impl<R: Running + 'static> BufferedRunning<R> {
    /// Drives everything in flight until one call is finished.
    async fn one_done(&mut self) {
        let done = poll_fn(|cx| {
            for (place, flying) in self.flying.iter_mut().enumerate() {
                if let Poll::Ready((instance, result)) = flying.call.as_mut().poll(cx) {
                    return Poll::Ready((place, instance, result));
                }
            }
            Poll::Pending
        });
        let (place, instance, result) = done.await;
        let Flying { id, .. } = self.flying.swap_remove(place);
        self.idle.push(instance);
        if self.at_work.take(id).is_some() {
            self.at_work.answer(id, result, |()| false);
        }
    }

    async fn land(&mut self) {
        while !self.flying.is_empty() {
            self.one_done().await;
        }
    }
}

impl<R> sealed::Sealed for BufferedRunning<R> {}

impl<R: Running + 'static> Running for BufferedRunning<R> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        // Finished frames that wait for an older one count as well.
        let instances = self.idle.len() + self.flying.len();
        while self.at_work.pending() >= instances || self.idle.is_empty() {
            if self.flying.is_empty() {
                return Err("no instance is left".into());
            }
            self.one_done().await;
        }
        let mut instance = self.idle.pop().ok_or("no instance is left")?;
        let id = frame.id();
        let call = Box::pin(async move {
            let result = caught(process_video(&mut instance, frame)).await;
            (instance, result)
        });
        self.flying.push(Flying { id, call });
        Ok(self.at_work.at_work(id, ()))
    }

    async fn video_ready(&mut self) {
        while !self.at_work.is_ready() {
            if self.flying.is_empty() {
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
        self.land().await;
        let mut updated = self.own.update_params(params).await;
        for instance in &mut self.idle {
            // Every instance gives the same answer.
            updated = updated.and(instance.update_params(params).await);
        }
        updated
    }

    async fn stop(&mut self) -> Result<()> {
        self.land().await;
        let mut stopped = self.own.stop().await;
        for mut instance in self.idle.drain(..) {
            stopped = stopped.and(instance.stop().await);
        }
        stopped
    }
}

impl<S: fmt::Debug> fmt::Debug for Buffered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered")
            .field("processor", &self.stage)
            .field("in_flight", &self.in_flight)
            .finish()
    }
}
