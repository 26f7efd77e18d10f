//! The one thing that a user writes.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use crate::{Params, Result, StreamContext, TypedParams};

/// What a processor makes from nothing but time, for a stream without input.
#[derive(Debug, Default)]
pub struct Generated {
    /// The frame, if one goes out.
    pub video: Option<VideoFrame>,
    /// The audio from this moment on, about as much as lasts until the next call.
    pub audio: Vec<AudioFrame>,
}

/// Turns the frames and the audio of live streams into others.
///
/// [`initialize`](Self::initialize) runs once, on the prototype; every stream then gets a clone with its own state and
/// parameters. Tensors are shared by reference count, so weights exist once. Where what is loaded and what a stream needs
/// are better kept apart, [`with_model`](crate::compose::with_model) makes each stream's processor from a loaded model.
///
/// The methods of one clone are called one at a time, on a thread of the stream's own that drives the returned future.
/// They may compute for as long as they like, and await tokio's timers and sockets. A processor that is slower than the
/// input is given the newest frame each time. An error or a panic costs its frame, not the stream. `stream` is the same
/// stream in every call.
pub trait FrameProcessor: Send + 'static {
    /// Called once before the first stream, or once on a clone for each of several devices: load the model on `device`,
    /// warm up. The server is LOADING until it returns.
    fn initialize(&mut self, device: &Device) -> impl Future<Output = Result<()>> {
        let _ = device;
        ready(Ok(()))
    }

    /// Called once per frame. `None` withholds it: nothing goes out for it.
    fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Option<VideoFrame>>>;

    /// Called once per packet of audio, about 20 ms. Returns the frames to send out; none drops it. Frames returned as
    /// they came are sent on without being decoded. A processor that does not implement this takes no audio, which then
    /// goes straight to the output and never waits for video.
    fn process_audio(
        &mut self,
        frame: AudioFrame,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Vec<AudioFrame>>> {
        let _ = stream;
        Untouched(Some(frame))
    }

    /// Called in the place of the other two for a stream without input, `target_fps` times a second (24 unless set).
    /// `timestamp` is the time since the stream's start, and what is returned goes out with it. Moments that pass while an
    /// earlier call lasts are left out.
    fn generate(
        &mut self,
        timestamp: Timestamp,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Generated>> {
        let _ = (timestamp, stream);
        ready(Ok(Generated::default()))
    }

    /// The struct that the processor keeps its parameters in, if it does: `Some(&mut self.params)`. Its schema is shown to
    /// callers, names and values that do not fit it are refused, and the others are written into it before
    /// [`update_params`](Self::update_params) is called. Without one, any parameter is handed to `update_params`.
    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        None
    }

    /// Called with the parameters that a stream starts with, unless there are none, and when others arrive in mid-stream,
    /// before the next frame. Updates that come faster than they are taken are merged, the newest value of each name
    /// winning.
    ///
    /// An error refuses them, and is what the caller is told. The stream goes on, and its status keeps showing what was in
    /// force before, so an error should leave everything as it was. Where merged updates are refused, each is given by
    /// itself.
    fn update_params(&mut self, params: &Params, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        let _ = (params, stream);
        ready(Ok(()))
    }

    /// Called before a stream's first frame. Unless it is overridden it hands the stream's parameters to
    /// [`update_params`](Self::update_params). An error ends the stream.
    fn on_stream_start(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        async {
            match stream.params.is_empty() {
                true => Ok(()),
                false => self.update_params(&stream.params, stream).await,
            }
        }
    }

    /// Called after a stream's last frame, also where `on_stream_start` has failed.
    fn on_stream_stop(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        let _ = stream;
        ready(Ok(()))
    }
}

/// What [`FrameProcessor::process_audio`] returns where it is not implemented. By its name, which no future outside of
/// this module has, [`takes_audio`] knows a processor that does not touch audio. Were the compiler to name it otherwise,
/// audio would take the way through the processor, and come out the same.
struct Untouched(Option<AudioFrame>);

impl Future for Untouched {
    type Output = Result<Vec<AudioFrame>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.take().into_iter().collect()))
    }
}

/// Whether processors of this type implement `process_audio`.
pub(crate) fn takes_audio<P: FrameProcessor>() -> bool {
    fn name_of_answer<P: 'static, A>(
        _: impl FnOnce(&'static mut P, AudioFrame, &'static StreamContext) -> A,
    ) -> &'static str {
        std::any::type_name::<A>()
    }
    // Never called: what it would return says whose it is.
    let answer = name_of_answer(|processor: &'static mut P, frame, stream| processor.process_audio(frame, stream));
    answer != std::any::type_name::<Untouched>()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Video;

    impl FrameProcessor for Video {
        async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }

    struct Both;

    impl FrameProcessor for Both {
        async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }

        async fn process_audio(&mut self, frame: AudioFrame, _: &StreamContext) -> Result<Vec<AudioFrame>> {
            Ok(vec![frame])
        }
    }

    #[test]
    fn audio_is_for_processors_that_implement_it() {
        assert!(takes_audio::<Both>() && !takes_audio::<Video>());
    }
}
