//! Names a processor.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use super::parts::{Part, Partly, unwrap};
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// A processor with a name: see [`Compose::named`](super::Compose::named). It receives the parameters under
/// its name without the name itself; the parts of a named composition are reachable only through the name.
/// Nothing else changes.
#[derive(Debug, Clone)]
pub struct Named<S> {
    stage: S,
    name: String,
}

impl<S: Stage> Named<S> {
    pub(super) fn new(stage: S, name: String) -> Self {
        Self { stage, name }
    }
}

impl<S: Stage> sealed::Sealed for Named<S> {}

impl<S: Stage> Stage for Named<S> {
    type Running = NamedRunning<S::Running>;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.stage.initialize(device).await
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::of(self.stage.parts()).named(self.name.as_str())]
    }

    fn takes_audio(&self) -> bool {
        self.stage.takes_audio()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Self::Running> {
        let params = unwrap(&stream.params, &self.name);
        let running = self.stage.start(&stream.with_params(params)).await?;
        Ok(NamedRunning { running, name: self.name.clone() })
    }
}

/// [`Named`] in one stream.
#[doc(hidden)]
#[derive(Debug)]
pub struct NamedRunning<R> {
    running: R,
    name: String,
}

impl<R> sealed::Sealed for NamedRunning<R> {}

impl<R: Running> Running for NamedRunning<R> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        self.running.start_video(frame).await
    }

    async fn video_ready(&mut self) {
        self.running.video_ready().await;
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        self.running.finish_video().await
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        self.running.process_audio(frame).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        self.running.generate(timestamp).await
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let updated = self.running.update_params(&unwrap(params, &self.name)).await;
        updated.map_err(|e| Partly::within(&self.name, e))
    }

    async fn stop(&mut self) -> Result<()> {
        self.running.stop().await
    }
}
