//! Processors with their type erased.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use super::Part;
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Any processor, for a choice at run time: see [`Compose::boxed`](super::Compose::boxed). It costs one small
/// allocation per call and changes nothing else.
pub struct DynProcessor(Box<dyn ErasedStage>);

/// [`DynProcessor`] in one stream.
#[doc(hidden)]
pub struct DynRunning(Box<dyn ErasedRunning>);

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// [`Stage`] with boxed futures.
trait ErasedStage: Send {
    fn duplicate(&self) -> Box<dyn ErasedStage>;
    fn initialize<'a>(&'a mut self, device: &'a Device) -> Answer<'a, Result<()>>;
    fn parts(&self) -> Vec<Part>;
    fn takes_audio(&self) -> bool;
    fn start<'a>(&'a self, stream: &'a StreamContext) -> Answer<'a, Result<DynRunning>>;
}

/// [`Running`] with boxed futures.
trait ErasedRunning {
    fn start_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Started>>;
    fn video_ready(&mut self) -> Answer<'_, ()>;
    fn finish_video(&mut self) -> Answer<'_, Option<Finished>>;
    fn process_audio(&mut self, frame: AudioFrame) -> Answer<'_, Result<Vec<AudioFrame>>>;
    fn generate(&mut self, timestamp: Timestamp) -> Answer<'_, Result<Generated>>;
    fn update_params<'a>(&'a mut self, params: &'a Params) -> Answer<'a, Result<()>>;
    fn stop(&mut self) -> Answer<'_, Result<()>>;
}

impl<S: Stage> ErasedStage for S {
    fn duplicate(&self) -> Box<dyn ErasedStage> {
        Box::new(self.clone())
    }

    fn initialize<'a>(&'a mut self, device: &'a Device) -> Answer<'a, Result<()>> {
        Box::pin(Stage::initialize(self, device))
    }

    fn parts(&self) -> Vec<Part> {
        Stage::parts(self)
    }

    fn takes_audio(&self) -> bool {
        Stage::takes_audio(self)
    }

    fn start<'a>(&'a self, stream: &'a StreamContext) -> Answer<'a, Result<DynRunning>> {
        Box::pin(async { Ok(DynRunning(Box::new(Stage::start(self, stream).await?))) })
    }
}

impl<R: Running> ErasedRunning for R {
    fn start_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Started>> {
        Box::pin(Running::start_video(self, frame))
    }

    fn video_ready(&mut self) -> Answer<'_, ()> {
        Box::pin(Running::video_ready(self))
    }

    fn finish_video(&mut self) -> Answer<'_, Option<Finished>> {
        Box::pin(Running::finish_video(self))
    }

    fn process_audio(&mut self, frame: AudioFrame) -> Answer<'_, Result<Vec<AudioFrame>>> {
        Box::pin(Running::process_audio(self, frame))
    }

    fn generate(&mut self, timestamp: Timestamp) -> Answer<'_, Result<Generated>> {
        Box::pin(Running::generate(self, timestamp))
    }

    fn update_params<'a>(&'a mut self, params: &'a Params) -> Answer<'a, Result<()>> {
        Box::pin(Running::update_params(self, params))
    }

    fn stop(&mut self) -> Answer<'_, Result<()>> {
        Box::pin(Running::stop(self))
    }
}

impl DynProcessor {
    pub(super) fn new(stage: impl Stage) -> Self {
        Self(Box::new(stage))
    }
}

impl Clone for DynProcessor {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for DynProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynProcessor").field(&self.0.parts()).finish()
    }
}

impl sealed::Sealed for DynProcessor {}

impl Stage for DynProcessor {
    type Running = DynRunning;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.0.initialize(device).await
    }

    fn parts(&self) -> Vec<Part> {
        self.0.parts()
    }

    fn takes_audio(&self) -> bool {
        self.0.takes_audio()
    }

    async fn start(&self, stream: &StreamContext) -> Result<DynRunning> {
        self.0.start(stream).await
    }
}

impl sealed::Sealed for DynRunning {}

impl Running for DynRunning {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        self.0.start_video(frame).await
    }

    async fn video_ready(&mut self) {
        self.0.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.0.finish_video().await
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.0.process_audio(frame).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.0.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.0.update_params(params).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.0.stop().await
    }
}
