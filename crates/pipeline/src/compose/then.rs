//! One processor after another.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use super::parts::{Answers, Part, route};
use crate::process::caught;
use crate::{Finished, FrameProcessor, Generated, Params, Result, Started, StreamContext};

/// One processor, then another on what it returns: [`Compose::then`](super::Compose::then).
///
/// Time: the sum of both. Order is kept. Both are initialised, started and stopped in this order. What the first withholds
/// the second never sees. Sound goes through both; in a stream without input the first generates, and the second is given
/// what comes of it.
#[derive(Debug, Clone)]
pub struct Then<A, B> {
    first: A,
    second: B,
}

impl<A: FrameProcessor, B: FrameProcessor> Then<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    fn share(&self, params: &Params) -> Result<[Params; 2]> {
        let mut shares = route(params, &[self.first.parts(), self.second.parts()])?.into_iter();
        Ok([shares.next().unwrap_or_default(), shares.next().unwrap_or_default()])
    }
}

impl<A: FrameProcessor, B: FrameProcessor> FrameProcessor for Then<A, B> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.first.initialize(device).await?;
        self.second.initialize(device).await
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let timestamp = frame.timestamp();
        match self.first.process_video(frame).await? {
            Some(frame) => self.second.process_video(frame.at(timestamp)).await,
            None => Ok(None),
        }
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        through(&mut self.second, self.first.process_audio(frame).await?).await
    }

    fn takes_audio(&mut self) -> bool {
        self.first.takes_audio() || self.second.takes_audio()
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        let made = self.first.generate(timestamp).await?;
        let video = match made.video {
            Some(frame) => self.second.process_video(frame.at(timestamp)).await?,
            None => None,
        };
        Ok(Generated { video, audio: through(&mut self.second, made.audio).await? })
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let [first, second] = self.share(params)?;
        // A wrong parameter of one part is no reason to keep the other's from it.
        let mut answers = Answers::default();
        if !first.is_empty() {
            let answer = self.first.update_params(&first).await;
            answers.add(first, answer);
        }
        if !second.is_empty() {
            let answer = self.second.update_params(&second).await;
            answers.add(second, answer);
        }
        answers.whole()
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        let [first, second] = self.share(&stream.params)?;
        self.first.on_stream_start(&stream.with_params(first)).await?;
        self.second.on_stream_start(&stream.with_params(second)).await
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        let stopped = self.first.on_stream_stop().await;
        self.second.on_stream_stop().await?;
        stopped
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = self.first.parts();
        parts.extend(self.second.parts());
        parts
    }

    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let timestamp = frame.timestamp();
        match self.first.start_video(frame).await? {
            Started::Done(Some(frame)) => self.second.start_video(frame.at(timestamp)).await,
            other => Ok(other),
        }
    }

    async fn video_ready(&mut self) {
        tokio::select! {
            () = self.second.video_ready() => {}
            () = self.first.video_ready() => {}
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        // What the second has is older.
        if is_ready(self.second.video_ready()).await {
            return self.second.finish_video().await;
        }
        if !is_ready(self.first.video_ready()).await {
            return None;
        }
        let Finished { timestamp, result } = self.first.finish_video().await?;
        let frame = match result {
            Ok(Some(frame)) => frame.at(timestamp),
            answer => return Some(Finished { timestamp, result: answer }),
        };
        // Caught here, where it is known which picture a panic costs.
        let result = match caught(async { self.second.start_video(frame).await }).await {
            Ok(Started::AtWork) => return None,
            Ok(Started::Done(frame)) => Ok(frame),
            Err(e) => Err(e),
        };
        Some(Finished { timestamp, result })
    }
}

async fn through(processor: &mut impl FrameProcessor, sound: Vec<AudioFrame>) -> Result<Vec<AudioFrame>> {
    let mut all = Vec::with_capacity(sound.len());
    for frame in sound {
        all.extend(processor.process_audio(frame).await?);
    }
    Ok(all)
}

/// Whether a future that may be cancelled would end at once.
async fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}
