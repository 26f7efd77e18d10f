//! One model call for the frames of several streams.

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

/// A model that processes several frames in one call.
///
/// Closures from a tensor to a tensor are models:
/// `Batched::new(|frames: Tensor| frames.flip(&[2]), 8, wait)`.
pub trait BatchModel: Clone + Send + 'static {
    /// Called like [`FrameProcessor::initialize`](crate::FrameProcessor::initialize).
    ///
    /// # Errors
    /// Fails if the model does.
    fn initialize(&mut self, device: &Device) -> Result<()> {
        let _ = device;
        Ok(())
    }

    /// Processes N frames in one call: (N, H, W, C), u8, 0-255, to (N, H', W', 1|3|4), u8 (0-255) or float
    /// (0-1). Each result must depend only on its own frame.
    ///
    /// # Errors
    /// Fails if the model does. A batch that fails or panics is retried frame by frame.
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

/// One model call for the frames of several streams.
///
/// The streams share the model and the one thread that calls it. A call takes at most `max_batch` waiting
/// frames of the same shape, oldest first. It begins when that many are waiting, when a frame of every stream
/// is waiting, or when the oldest frame has waited for `max_wait`. A stream that did not deliver in time is
/// not waited for again until it sends a frame, so a slow stream delays the others by at most `max_wait` per
/// frame of its own, and a single stream never waits. Each stream has at most one frame in this stage, so no
/// stream gets a second frame processed before the others got their first, and the number of waiting frames
/// is bounded by the number of streams. A batch that fails is retried frame by frame, so that only the bad
/// frames fail. Frames of streams that have ended are skipped.
///
/// Order is kept. Audio passes through. There are no parameters, because the model is shared. Batch sizes are
/// reported in the metric `cutrickle_batch_size`.
#[derive(Clone)]
pub struct Batched<M> {
    model: M,
    shared: Arc<Shared>,
}

/// [`Batched`] in one stream.
#[doc(hidden)]
pub struct BatchedRunning {
    shared: Arc<Shared>,
    /// The stream's membership in the set that a batch may wait for.
    member: Member,
    /// The histogram in which the stream counts batch sizes.
    sizes: Option<Histogram>,
}

/// State shared by the clones of an initialised processor. The thread ends when the last of them is dropped.
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

/// A stream that sends frames, with its number in the queue.
struct Member(Arc<Queue>, u64);

impl<M: BatchModel> Batched<M> {
    /// Creates a processor that calls `model` with at most `max_batch` frames (at least one). No frame waits
    /// longer than `max_wait` for others.
    pub fn new(model: M, max_batch: usize, max_wait: Duration) -> Self {
        let limits = Limits { frames: max_batch.max(1), wait: max_wait };
        Self { model, shared: Shared::new(limits) }
    }

    /// Starts the thread unless another stream has started it.
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
        // Earlier clones may have been initialised for another device.
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
    /// Removes the stream from those that a batch waits for.
    fn leave(&self) {
        self.0.leave(self.1);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}
