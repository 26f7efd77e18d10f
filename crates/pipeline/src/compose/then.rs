//! Runs one processor after another.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use super::parts::{Answers, Part, route};
use crate::process::caught;
use crate::stage::{Finished, Running, Started, process_video, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Runs one processor, then another on what it returns: see [`Compose::then`](super::Compose::then).
///
/// The processing times add up. Order is kept. Both are initialised, started and stopped in this order. The
/// second processor never sees what the first one withholds. Audio passes through both. In a stream without
/// input, the first processor generates and the second receives the result.
#[derive(Debug, Clone)]
pub struct Then<A, B> {
    first: A,
    second: B,
}

impl<A: Stage, B: Stage> Then<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Stage, B: Stage> sealed::Sealed for Then<A, B> {}

impl<A: Stage, B: Stage> Stage for Then<A, B> {
    type Running = ThenRunning<A::Running, B::Running>;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.first.initialize(device).await?;
        self.second.initialize(device).await
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = self.first.parts();
        parts.extend(self.second.parts());
        parts
    }

    fn takes_audio(&self) -> bool {
        self.first.takes_audio() || self.second.takes_audio()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Self::Running> {
        let parts = [self.first.parts(), self.second.parts()];
        let [of_first, of_second] = share(&parts, &stream.params)?;
        let mut first = self.first.start(&stream.with_params(of_first)).await?;
        match self.second.start(&stream.with_params(of_second)).await {
            Ok(second) => Ok(ThenRunning { first, second, parts }),
            Err(e) => {
                // Return the error of the second processor.
                let _ = first.stop().await;
                Err(e)
            }
        }
    }
}

fn share(parts: &[Vec<Part>; 2], params: &Params) -> Result<[Params; 2]> {
    let mut shares = route(params, parts)?.into_iter();
    Ok([shares.next().unwrap_or_default(), shares.next().unwrap_or_default()])
}

/// [`Then`] in one stream.
#[doc(hidden)]
#[derive(Debug)]
pub struct ThenRunning<A, B> {
    first: A,
    second: B,
    parts: [Vec<Part>; 2],
}

impl<A, B> sealed::Sealed for ThenRunning<A, B> {}

impl<A: Running, B: Running> Running for ThenRunning<A, B> {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        match self.first.start_video(frame).await? {
            Started::Done(Some(frame)) => self.second.start_video(frame).await,
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
        // Frames in the second processor are older.
        if is_ready(self.second.video_ready()).await {
            return self.second.finish_video().await;
        }
        if !is_ready(self.first.video_ready()).await {
            return None;
        }
        let Finished { id, result } = self.first.finish_video().await?;
        let frame = match result {
            Ok(Some(frame)) => frame,
            answer => return Some(Finished { id, result: answer }),
        };
        // Caught here, where it is known which frame a panic affects.
        let result = match caught(async { self.second.start_video(frame).await }).await {
            Ok(Started::AtWork) => return None,
            Ok(Started::Done(frame)) => Ok(frame),
            Err(e) => Err(e),
        };
        Some(Finished { id, result })
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        through(&mut self.second, self.first.process_audio(frame).await?).await
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        let made = self.first.generate(timestamp).await?;
        let video = match made.video {
            Some(frame) => process_video(&mut self.second, frame.at(timestamp)).await?,
            None => None,
        };
        Ok(Generated { video, audio: through(&mut self.second, made.audio).await? })
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let [first, second] = share(&self.parts, params)?;
        // A wrong parameter for one part must not prevent the update of the other.
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

    async fn stop(&mut self) -> Result<()> {
        let stopped = self.first.stop().await;
        self.second.stop().await?;
        stopped
    }
}

async fn through(running: &mut impl Running, audio: Vec<AudioFrame>) -> Result<Vec<AudioFrame>> {
    let mut all = Vec::with_capacity(audio.len());
    for frame in audio {
        all.extend(running.process_audio(frame).await?);
    }
    Ok(all)
}

/// Polls a future once, cancels it, and returns whether it was ready.
async fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}
