//! One call of a model for the pictures of several streams.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use cutrickle_frame::VideoFrame;
use prometheus::Histogram;
use tokio::sync::oneshot;

use self::queue::{Queue, Request};
use super::Part;
use crate::metrics::Recorder;
use crate::{BoxError, FrameProcessor, Result, StreamContext};

mod queue;
mod run;

/// A model that takes several pictures in one call.
///
/// Closures from a tensor to a tensor are models: `Batched::new(|pictures: Tensor| pictures.flip(&[2]), 8, wait)`.
pub trait BatchModel: Clone + Send + 'static {
    /// Called as [`FrameProcessor::initialize`] is.
    ///
    /// # Errors
    /// The model's own.
    fn initialize(&mut self, device: &Device) -> Result<()> {
        let _ = device;
        Ok(())
    }

    /// One call: N pictures, (N, H, W, C), u8, 0-255, to as many, (N, H', W', 1|3|4), u8 (0-255) or float (0-1). Each
    /// answer must depend on its own picture only.
    ///
    /// # Errors
    /// The model's own. A batch that fails, or panics, is tried again picture by picture.
    fn forward(&mut self, pictures: Tensor) -> Result<Tensor>;
}

impl<F> BatchModel for F
where
    F: FnMut(Tensor) -> candle_core::Result<Tensor> + Clone + Send + 'static,
{
    fn forward(&mut self, pictures: Tensor) -> Result<Tensor> {
        Ok(self(pictures)?)
    }
}

/// One call of a model for the pictures of several streams.
///
/// The clones that streams get share the model and one thread that calls it. A call takes the pictures that wait, oldest
/// first, as far as they are of one shape, at most `max_batch`. It begins when that many wait, when every stream's picture
/// does, or when the oldest has waited for `max_wait`. A stream that was waited for in vain is not waited for again until
/// it sends a picture, so one that is slow delays the others by `max_wait` once for each of its pictures at most, and a
/// single stream never waits. As a stream has one picture at work at a time, none gets a second one before the others had
/// their first, and no more pictures wait than there are streams. A batch that fails is tried again picture by picture, so
/// that only the bad ones fail. Pictures whose stream is gone are left out.
///
/// Order is kept. Sound passes. It takes no parameters: the model is everyone's. The sizes of batches are in the metrics,
/// as `cutrickle_batch_size`.
pub struct Batched<M> {
    model: M,
    shared: Arc<Shared>,
    /// This clone's place among those that a batch may wait for.
    member: Option<Member>,
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
    pictures: usize,
    wait: Duration,
}

/// A stream that sends pictures, by its number in the queue.
struct Member(Arc<Queue>, u64);

impl<M: BatchModel> Batched<M> {
    /// Calls `model` with at most `max_batch` pictures (at least one), none of which waits for others for longer than
    /// `max_wait`.
    pub fn new(model: M, max_batch: usize, max_wait: Duration) -> Self {
        let limits = Limits { pictures: max_batch.max(1), wait: max_wait };
        Self { model, shared: Shared::new(limits), member: None, sizes: None }
    }

    /// Starts the thread, unless another clone did.
    fn start(&self) -> Result<()> {
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

    /// The number by which the queue knows this stream, which joins it at first.
    fn join(&mut self) -> Result<u64> {
        if let Some(Member(_, member)) = self.member {
            return Ok(member);
        }
        self.start()?;
        let queue = Arc::clone(&self.shared.queue);
        let member = queue.join();
        self.member = Some(Member(queue, member));
        Ok(member)
    }
}

impl<M: BatchModel> FrameProcessor for Batched<M> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.model.initialize(device)?;
        // Clones of before may have been initialised for another device.
        self.shared = Shared::new(self.shared.limits);
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let member = self.join()?;
        let (answer, answered) = oneshot::channel();
        let sizes = self.sizes.clone();
        let pixels = frame.tensor()?;
        self.shared.queue.push(Request { member, pixels, arrived: Instant::now(), sizes, answer });
        let pixels = answered.await.map_err(|_| BoxError::from("the batch's thread ended"))??;
        Ok(Some(frame.replace_tensor(pixels)?))
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.sizes = stream.recorder().map(Recorder::batch_sizes);
        self.join().map(drop)
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.member = None;
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking([])]
    }
}

impl<M: Clone> Clone for Batched<M> {
    fn clone(&self) -> Self {
        Self { model: self.model.clone(), shared: Arc::clone(&self.shared), member: None, sizes: None }
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

impl Drop for Member {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}
