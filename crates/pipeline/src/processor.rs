//! The trait that users implement.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;

use crate::{Params, Result, StreamContext, TypedParams};

/// The output that a processor generates in a stream without input.
#[derive(Debug, Default)]
pub struct Generated {
    /// The frame to send, if any.
    pub video: Option<VideoFrame>,
    /// The audio from this moment on, about as much as lasts until the next call.
    pub audio: Vec<AudioFrame>,
}

/// Processes the video frames and audio of live streams.
///
/// [`initialize`](Self::initialize) runs once on a prototype; every stream then gets a clone with its own
/// state and parameters. Tensors are shared by reference count, so weights exist only once. To separate what
/// is loaded from what each stream needs, use [`with_model`](crate::compose::with_model), which makes each
/// stream's processor from a loaded model.
///
/// The methods of one clone are called one at a time, on a thread of the stream that drives the returned
/// future. They may compute as long as needed, and await tokio's timers and sockets. A processor that is
/// slower than the input gets the newest frame each time. An error or a panic costs only its frame, not the
/// stream. `stream` is the same stream in every call.
pub trait FrameProcessor: Send + 'static {
    /// Called once before the first stream, or once per device on a clone, to load the model on `device` and
    /// warm up. The server is LOADING until it returns.
    fn initialize(&mut self, device: &Device) -> impl Future<Output = Result<()>> {
        let _ = device;
        ready(Ok(()))
    }

    /// Called once per frame. Returning `None` withholds the frame, so that nothing is sent for it.
    fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Option<VideoFrame>>>;

    /// Called once per audio packet, about 20 ms. Returns the frames to send; an empty vector drops the
    /// packet. Unchanged frames are passed through without being decoded. Without an implementation of this
    /// method, audio bypasses the processor and never waits for video.
    fn process_audio(
        &mut self,
        frame: AudioFrame,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Vec<AudioFrame>>> {
        let _ = stream;
        Untouched(Some(frame))
    }

    /// Called instead of the other two in a stream without input, `target_fps` times per second (24 by
    /// default). `timestamp` is the time since the stream's start, and the result is sent with it. Moments
    /// that pass during an earlier call are skipped.
    fn generate(
        &mut self,
        timestamp: Timestamp,
        stream: &StreamContext,
    ) -> impl Future<Output = Result<Generated>> {
        let _ = (timestamp, stream);
        ready(Ok(Generated::default()))
    }

    /// The struct that holds the processor's parameters, if there is one: `Some(&mut self.params)`. Its
    /// schema is shown to callers; names and values that do not fit it are rejected, and the others are
    /// stored in it before [`update_params`](Self::update_params) is called. Without a struct, all parameters
    /// are passed to `update_params`.
    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        None
    }

    /// Called with a stream's initial parameters, unless there are none, and with updates in mid-stream,
    /// before the next frame. Updates that arrive faster than they are applied are merged; the newest value
    /// of each name wins.
    ///
    /// An error rejects the parameters and is returned to the caller. The stream continues, and its status
    /// keeps showing the previous values, so an error should leave everything unchanged. If merged updates
    /// are rejected, each update is retried on its own.
    fn update_params(&mut self, params: &Params, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        let _ = (params, stream);
        ready(Ok(()))
    }

    /// Called before a stream's first frame. By default it passes the stream's parameters to
    /// [`update_params`](Self::update_params). An error ends the stream.
    fn on_stream_start(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        async {
            match stream.params.is_empty() {
                true => Ok(()),
                false => self.update_params(&stream.params, stream).await,
            }
        }
    }

    /// Called after a stream's last frame, even if `on_stream_start` failed.
    fn on_stream_stop(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        let _ = stream;
        ready(Ok(()))
    }
}

/// What [`FrameProcessor::process_audio`] returns if it is not implemented. [`takes_audio`] recognizes such a
/// processor by the name of this type, which no future outside this module has. If the compiler named it
/// differently, audio would pass through the processor and come out the same.
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
    // Never called; only its return type matters.
    let answer =
        name_of_answer(|processor: &'static mut P, frame, stream| processor.process_audio(frame, stream));
    answer != std::any::type_name::<Untouched>()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Video;

    impl FrameProcessor for Video {
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }

    struct Both;

    impl FrameProcessor for Both {
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
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
