//! What the framework runs: a stage, which is loaded once, and what runs of it in each stream. A user's processor is one
//! by itself; combinators are made of others. Neither trait can be implemented outside of this crate.

use std::future::{Future, pending};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, FrameId, VideoFrame};
use cutrickle_media::Timestamp;

use crate::compose::Part;
use crate::processor::takes_audio;
use crate::{FrameProcessor, Generated, Params, Result, StreamContext};

pub(crate) mod sealed {
    /// Keeps the framework's traits to itself.
    pub trait Sealed {}
}

/// A processor, or one made of others: what a server is built with and a session started with.
///
/// Every [`FrameProcessor`] that can be cloned is a stage, and so is everything in [`compose`](crate::compose). It is
/// loaded once; each stream then runs an instance of its own.
pub trait Stage: sealed::Sealed + Clone + Send + 'static {
    /// What runs in one stream.
    #[doc(hidden)]
    type Running: Running + 'static;

    /// Loads what all streams share, on `device`.
    #[doc(hidden)]
    fn initialize(&mut self, device: &Device) -> impl Future<Output = Result<()>>;

    /// How parameters find its parts.
    #[doc(hidden)]
    fn parts(&self) -> Vec<Part>;

    /// Whether audio is given to [`Running::process_audio`]. Otherwise it goes straight to the output.
    #[doc(hidden)]
    fn takes_audio(&self) -> bool;

    /// Starts an instance for a stream. It stays on the thread that it was started on. What an error leaves started is
    /// stopped.
    #[doc(hidden)]
    fn start(&self, stream: &StreamContext) -> impl Future<Output = Result<Self::Running>>;
}

/// What became of a frame that was given to a stage.
#[doc(hidden)]
#[derive(Debug)]
pub enum Started {
    /// The answer is there. `None` withholds the frame.
    Done(Option<VideoFrame>),
    /// The stage works at it, and gives the answer by [`Running::finish_video`].
    AtWork,
}

/// The answer to a frame that a stage had at work.
#[doc(hidden)]
#[derive(Debug)]
pub struct Finished {
    /// The frame that went in.
    pub id: FrameId,
    /// What [`FrameProcessor::process_video`] would have returned.
    pub result: Result<Option<VideoFrame>>,
}

/// A stage at work for one stream. It may have several frames at work, and gives the answers that are frames in the order
/// in which those went in. It bounds how many it has by waiting in `start_video`.
#[doc(hidden)]
pub trait Running: sealed::Sealed {
    /// Gives it a frame, without waiting for the answer if it can work at several.
    fn start_video(&mut self, frame: VideoFrame) -> impl Future<Output = Result<Started>>;

    /// Waits until [`finish_video`](Self::finish_video) need not; for ever where nothing is at work. Safe to cancel.
    fn video_ready(&mut self) -> impl Future<Output = ()> {
        pending()
    }

    /// The next answer to a frame at work; `None` where it turns out that there is none yet.
    fn finish_video(&mut self) -> impl Future<Output = Option<Finished>> {
        async { None }
    }

    /// As [`FrameProcessor::process_audio`].
    fn process_audio(&mut self, frame: AudioFrame) -> impl Future<Output = Result<Vec<AudioFrame>>>;

    /// As [`FrameProcessor::generate`].
    fn generate(&mut self, timestamp: Timestamp) -> impl Future<Output = Result<Generated>>;

    /// As [`FrameProcessor::update_params`].
    fn update_params(&mut self, params: &Params) -> impl Future<Output = Result<()>>;

    /// The stream has ended, and nothing is at work any more.
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

/// A user's processor at work for one stream.
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
        // A processor may build its answer from scratch: which frame it is, and its time, is not its business.
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
            // Refused after all: what was in force stays in force.
            own.update(&before)?;
        }
        updated
    }

    async fn stop(&mut self) -> Result<()> {
        self.processor.on_stream_stop(&self.stream).await
    }
}
