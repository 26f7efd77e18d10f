//! The traits that the framework runs: a stage, which is loaded once, and its instance in each stream. A
//! user's processor is a stage by itself; combinators are composed of stages. Neither trait can be
//! implemented outside this crate.

use std::future::{Future, pending};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, FrameId, VideoFrame};
use cutrickle_media::Timestamp;

use crate::compose::Part;
use crate::processor::takes_audio;
use crate::{FrameProcessor, Generated, Params, Result, StreamContext};

pub(crate) mod sealed {
    /// Prevents implementations outside this crate.
    pub trait Sealed {}
}

/// A processor or a composition of processors, from which servers are built and sessions are started.
///
/// Every [`FrameProcessor`] that implements `Clone` is a stage, and so is everything in
/// [`compose`](crate::compose). It is loaded once; each stream then runs its own instance.
pub trait Stage: sealed::Sealed + Clone + Send + 'static {
    /// The instance that runs in one stream.
    #[doc(hidden)]
    type Running: Running + 'static;

    /// Loads what all streams share, on `device`.
    #[doc(hidden)]
    fn initialize(&mut self, device: &Device) -> impl Future<Output = Result<()>>;

    /// The parts to which parameters are routed.
    #[doc(hidden)]
    fn parts(&self) -> Vec<Part>;

    /// Whether audio is passed to [`Running::process_audio`]. Otherwise it goes straight to the output.
    #[doc(hidden)]
    fn takes_audio(&self) -> bool;

    /// Starts an instance for a stream, which stays on the thread it was started on. If this fails,
    /// everything already started is stopped.
    #[doc(hidden)]
    fn start(&self, stream: &StreamContext) -> impl Future<Output = Result<Self::Running>>;
}

/// The result of giving a frame to a stage.
#[doc(hidden)]
#[derive(Debug)]
pub enum Started {
    /// The answer is ready. `None` withholds the frame.
    Done(Option<VideoFrame>),
    /// The stage is working on it, and returns the answer from [`Running::finish_video`].
    AtWork,
}

/// The answer to a frame that a stage had at work.
#[doc(hidden)]
#[derive(Debug)]
pub struct Finished {
    /// The frame that was given.
    pub id: FrameId,
    /// What [`FrameProcessor::process_video`] would have returned.
    pub result: Result<Option<VideoFrame>>,
}

/// An instance of a stage in one stream. It may work on several frames, and returns the answers that are
/// frames in the order in which the frames were given. It limits their number by waiting in `start_video`.
#[doc(hidden)]
pub trait Running: sealed::Sealed {
    /// Gives it a frame. Does not wait for the answer if the instance can work on several frames.
    fn start_video(&mut self, frame: VideoFrame) -> impl Future<Output = Result<Started>>;

    /// Waits until [`finish_video`](Self::finish_video) has an answer ready, for ever if nothing is at work.
    /// Cancel safe.
    fn video_ready(&mut self) -> impl Future<Output = ()> {
        pending()
    }

    /// Returns the next answer to a frame at work, or `None` if it turns out that there is none yet.
    fn finish_video(&mut self) -> impl Future<Output = Option<Finished>> {
        async { None }
    }

    /// Like [`FrameProcessor::process_audio`].
    fn process_audio(&mut self, frame: AudioFrame) -> impl Future<Output = Result<Vec<AudioFrame>>>;

    /// Like [`FrameProcessor::generate`].
    fn generate(&mut self, timestamp: Timestamp) -> impl Future<Output = Result<Generated>>;

    /// Like [`FrameProcessor::update_params`].
    fn update_params(&mut self, params: &Params) -> impl Future<Output = Result<()>>;

    /// Called when the stream has ended and nothing is at work any more.
    fn stop(&mut self) -> impl Future<Output = Result<()>>;
}

/// Gives `running` a frame and waits for its answer.
pub(crate) async fn process_video<R: Running>(
    running: &mut R,
    frame: VideoFrame,
) -> Result<Option<VideoFrame>> {
    let id = frame.id();
    if let Started::Done(answer) = running.start_video(frame).await? {
        return Ok(answer);
    }
    loop {
        running.video_ready().await;
        if let Some(finished) = running.finish_video().await.filter(|finished| finished.id == id) {
            return finished.result;
        }
    }
}

impl<P: FrameProcessor + Clone> sealed::Sealed for P {}

impl<P: FrameProcessor + Clone> Stage for P {
    type Running = Instance<P>;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        FrameProcessor::initialize(self, device).await
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::of_processor(&mut self.clone())]
    }

    fn takes_audio(&self) -> bool {
        takes_audio::<P>()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Instance<P>> {
        Instance::start(self.clone(), stream).await
    }
}

/// A user's processor running in one stream.
#[doc(hidden)]
#[derive(Debug)]
pub struct Instance<P> {
    processor: P,
    stream: StreamContext,
}

impl<P: FrameProcessor> Instance<P> {
    pub(crate) async fn start(mut processor: P, stream: &StreamContext) -> Result<Self> {
        let stream = stream.clone();
        let started = match processor.params().map_or(Ok(()), |params| params.update(&stream.params)) {
            Ok(()) => processor.on_stream_start(&stream).await,
            Err(refused) => Err(refused),
        };
        if let Err(e) = started {
            if let Err(e) = processor.on_stream_stop(&stream).await {
                stream.error(cutrickle_error::chain(&*e));
            }
            return Err(e);
        }
        Ok(Self { processor, stream })
    }
}

impl<P> sealed::Sealed for Instance<P> {}

impl<P: FrameProcessor> Running for Instance<P> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (timestamp, origin) = (frame.timestamp(), frame.origin());
        let answer = self.processor.process_video(frame, &self.stream).await?;
        // A processor may build its answer from scratch, so the frame's identity and time are restored here.
        Ok(Started::Done(answer.map(|frame| frame.at(timestamp).of(origin))))
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.processor.process_audio(frame, &self.stream).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.processor.generate(timestamp, &self.stream).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let before = match self.processor.params() {
            Some(own) => {
                let before = own.values();
                own.update(params)?;
                Some(before)
            }
            None => None,
        };
        let updated = self.processor.update_params(params, &self.stream).await;
        if let (Err(_), Some(before), Some(own)) = (&updated, before, self.processor.params()) {
            // Rejected after all, so the previous values are restored.
            own.update(&before)?;
        }
        updated
    }

    async fn stop(&mut self) -> Result<()> {
        self.processor.on_stream_stop(&self.stream).await
    }
}
