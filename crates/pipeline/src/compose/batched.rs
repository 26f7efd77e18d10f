//! One call of a model for the frames of several streams.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;
use prometheus::Histogram;
use tokio::sync::oneshot;

use self::queue::{Queue, Request};
use super::Part;
use crate::metrics::Recorder;
use crate::stage::{Running, Started, sealed};
use crate::{BoxError, Generated, NoParams, Params, Result, Stage, StreamContext, TypedParams};

mod queue;
mod run;

/// A model that takes several frames in one call.
///
/// Closures from a tensor to a tensor are models: `Batched::new(|frames: Tensor| frames.flip(&[2]), 8, wait)`.
pub trait BatchModel: Clone + Send + 'static {
    /// Called as [`FrameProcessor::initialize`](crate::FrameProcessor::initialize) is.
    ///
    /// # Errors
    /// The model's own.
    fn initialize(&mut self, device: &Device) -> Result<()> {
        let _ = device;
        Ok(())
    }

    /// One call: N frames, (N, H, W, C), u8, 0-255, to as many, (N, H', W', 1|3|4), u8 (0-255) or float (0-1). Each
    /// answer must depend on its own frame only.
    ///
    /// # Errors
    /// The model's own. A batch that fails, or panics, is tried again frame by frame.
    fn forward(&mut self, frames: Tensor) -> Result<Tensor>;
}

impl<F> BatchModel for F
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    fn forward(&mut self, frames: Tensor) -> Result<Tensor> {
        Ok(self(frames)?)
    }
}

/// One call of a model for the frames of several streams.
///
/// The streams share the model and one thread that calls it. A call takes the frames that wait, oldest
/// first, as far as they are of one shape, at most `max_batch`. It begins when that many wait, when every stream's frame
/// does, or when the oldest has waited for `max_wait`. A stream that was waited for in vain is not waited for again until
/// it sends a frame, so one that is slow delays the others by `max_wait` once for each of its frames at most, and a
/// single stream never waits. A stream has one frame at work at a time here, so none gets a second one before the others
/// had their first, and no more frames wait than there are streams. A batch that fails is tried again frame by frame, so
/// that only the bad ones fail. Frames whose stream is gone are left out.
///
/// Order is kept. Audio passes. It takes no parameters: the model is shared. The sizes of batches are in the metrics,
/// as `cutrickle_batch_size`.
#[derive(Clone)]
pub struct Batched<M> {
    model: M,
    shared: Arc<Shared>,
}

/// [`Batched`] in one stream.
#[doc(hidden)]
pub struct BatchedRunning {
    shared: Arc<Shared>,
    /// The stream's place among those that a batch may wait for.
    member: Member,
    /// Where the stream counts the sizes of batches.
    sizes: Option<Histogram>,
}

/// What the clones of an initialised processor share. The thread ends when the last of them is gone.
#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    limits: Limits,
    started: Mutex<bool>,
}

/// When a batch begins.
#[derive(Debug, Clone, Copy)]
struct Limits {
    frames: usize,
    wait: Duration,
}

/// A stream that sends frames, by its number in the queue.
struct Member(Arc<Queue>, u64);

impl<M: BatchModel> Batched<M> {
    /// Calls `model` with at most `max_batch` frames (at least one), none of which waits for others for longer than
    /// `max_wait`.
    pub fn new(model: M, max_batch: usize, max_wait: Duration) -> Self {
        let limits = Limits { frames: max_batch.max(1), wait: max_wait };
        Self { model, shared: Shared::new(limits) }
    }

    /// Starts the thread, unless another stream did.
    fn start_thread(&self) -> Result<()> {
        let mut started = self.shared.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let (model, queue, limits) =
                (self.model.clone(), Arc::clone(&self.shared.queue), self.shared.limits);
            std::thread::Builder::new()
                .name("batch".into())
                .spawn(move || run::run(model, &queue, limits))?;
            *started = true;
        }
        Ok(())
    }
}

impl<M: BatchModel> sealed::Sealed for Batched<M> {}

impl<M: BatchModel> Stage for Batched<M> {
    type Running = BatchedRunning;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.model.initialize(device)?;
        // Those of before may have been initialised for another device.
        self.shared = Shared::new(self.shared.limits);
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::of_schema(TypedParams::schema(&NoParams {}))]
    }

    fn takes_audio(&self) -> bool {
        false
    }

    async fn start(&self, stream: &StreamContext) -> Result<BatchedRunning> {
        self.start_thread()?;
        let queue = Arc::clone(&self.shared.queue);
        let number = queue.join();
        let sizes = stream.recorder().map(Recorder::batch_sizes);
        Ok(BatchedRunning { shared: Arc::clone(&self.shared), member: Member(queue, number), sizes })
    }
}

impl sealed::Sealed for BatchedRunning {}

impl Running for BatchedRunning {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (answer, answered) = oneshot::channel();
        let (member, sizes) = (self.member.1, self.sizes.clone());
        let pixels = frame.tensor()?;
        self.shared.queue.push(Request { member, pixels, arrived: Instant::now(), sizes, answer });
        let pixels = answered.await.map_err(|_| BoxError::from("the batch's thread ended"))??;
        Ok(Started::Done(Some(frame.replace_tensor(pixels)?)))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        Ok(vec![frame])
    }

    async fn generate(&mut self, _: Timestamp) -> Result<Generated> {
        Ok(Generated::default())
    }

    async fn update_params(&mut self, _: &Params) -> Result<()> {
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.member.leave();
        Ok(())
    }
}

impl<M> fmt::Debug for Batched<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { queue: Arc::default(), limits, started: Mutex::new(false) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Member {
    /// Nobody waits for the stream any more.
    fn leave(&self) {
        self.0.leave(self.1);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}
