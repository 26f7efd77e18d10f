//! Processors with their type forgotten.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::Part;
use crate::{Finished, FrameProcessor, Generated, Params, Result, Started, StreamContext};

/// Any processor, for where the choice falls at run time: [`Compose::boxed`](super::Compose::boxed). Costs one small
/// allocation a call, and changes nothing.
pub struct DynProcessor(Box<dyn Erased>);

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// [`FrameProcessor`] with boxed futures.
trait Erased: Send {
    fn duplicate(&self) -> Box<dyn Erased>;
    fn initialize<'a>(&'a mut self, device: &'a Device) -> Answer<'a, Result<()>>;
    fn process_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Option<VideoFrame>>>;
    fn process_audio(&mut self, frame: AudioFrame) -> Answer<'_, Result<Vec<AudioFrame>>>;
    fn takes_audio(&mut self) -> bool;
    fn generate(&mut self, timestamp: i64) -> Answer<'_, Result<Generated>>;
    fn update_params<'a>(&'a mut self, params: &'a Params) -> Answer<'a, Result<()>>;
    fn on_stream_start<'a>(&'a mut self, stream: &'a StreamContext) -> Answer<'a, Result<()>>;
    fn on_stream_stop(&mut self) -> Answer<'_, Result<()>>;
    fn parts(&self) -> Vec<Part>;
    fn start_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Started>>;
    fn video_ready(&mut self) -> Answer<'_, ()>;
    fn finish_video(&mut self) -> Answer<'_, Option<Finished>>;
}

impl<P: FrameProcessor> Erased for P {
    fn duplicate(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }

    fn initialize<'a>(&'a mut self, device: &'a Device) -> Answer<'a, Result<()>> {
        Box::pin(FrameProcessor::initialize(self, device))
    }

    fn process_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Option<VideoFrame>>> {
        Box::pin(FrameProcessor::process_video(self, frame))
    }

    fn process_audio(&mut self, frame: AudioFrame) -> Answer<'_, Result<Vec<AudioFrame>>> {
        Box::pin(FrameProcessor::process_audio(self, frame))
    }

    fn takes_audio(&mut self) -> bool {
        FrameProcessor::takes_audio(self)
    }

    fn generate(&mut self, timestamp: i64) -> Answer<'_, Result<Generated>> {
        Box::pin(FrameProcessor::generate(self, timestamp))
    }

    fn update_params<'a>(&'a mut self, params: &'a Params) -> Answer<'a, Result<()>> {
        Box::pin(FrameProcessor::update_params(self, params))
    }

    fn on_stream_start<'a>(&'a mut self, stream: &'a StreamContext) -> Answer<'a, Result<()>> {
        Box::pin(FrameProcessor::on_stream_start(self, stream))
    }

    fn on_stream_stop(&mut self) -> Answer<'_, Result<()>> {
        Box::pin(FrameProcessor::on_stream_stop(self))
    }

    fn parts(&self) -> Vec<Part> {
        FrameProcessor::parts(self)
    }

    fn start_video(&mut self, frame: VideoFrame) -> Answer<'_, Result<Started>> {
        Box::pin(FrameProcessor::start_video(self, frame))
    }

    fn video_ready(&mut self) -> Answer<'_, ()> {
        Box::pin(FrameProcessor::video_ready(self))
    }

    fn finish_video(&mut self) -> Answer<'_, Option<Finished>> {
        Box::pin(FrameProcessor::finish_video(self))
    }
}

impl DynProcessor {
    pub(super) fn new(processor: impl FrameProcessor) -> Self {
        Self(Box::new(processor))
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

impl FrameProcessor for DynProcessor {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.0.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        self.0.process_video(frame).await
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.0.process_audio(frame).await
    }

    fn takes_audio(&mut self) -> bool {
        self.0.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        self.0.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.0.update_params(params).await
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.0.on_stream_start(stream).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.0.on_stream_stop().await
    }

    fn parts(&self) -> Vec<Part> {
        self.0.parts()
    }

    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        self.0.start_video(frame).await
    }

    async fn video_ready(&mut self) {
        self.0.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.0.finish_video().await
    }
}
