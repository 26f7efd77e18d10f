//! A processor under a name.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::parts::{Part, Partly, unwrap};
use crate::{Finished, FrameProcessor, Generated, Params, Result, Started, StreamContext};

/// A processor under a name: [`Compose::named`](super::Compose::named). Parameters under that name reach it without it;
/// the parts of a composition that is named are reached through the name only. Changes nothing else.
#[derive(Debug, Clone)]
pub struct Named<P> {
    processor: P,
    name: String,
}

impl<P: FrameProcessor> Named<P> {
    pub(super) fn new(processor: P, name: String) -> Self {
        Self { processor, name }
    }
}

impl<P: FrameProcessor> FrameProcessor for Named<P> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.processor.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        self.processor.process_video(frame).await
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.processor.process_audio(frame).await
    }

    fn takes_audio(&mut self) -> bool {
        self.processor.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        self.processor.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let updated = self.processor.update_params(&unwrap(params, &self.name)).await;
        updated.map_err(|e| Partly::within(&self.name, e))
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        let params = unwrap(&stream.params, &self.name);
        self.processor.on_stream_start(&stream.with_params(params)).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        self.processor.on_stream_stop().await
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::of(self.processor.parts()).named(self.name.as_str())]
    }

    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        self.processor.start_video(frame).await
    }

    async fn video_ready(&mut self) {
        self.processor.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.processor.finish_video().await
    }
}
