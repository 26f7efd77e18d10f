//! The one thing that a user writes.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use candle_core::Device;
use cutrickle_frame::{AudioFrame, DecodeAudio, VideoFrame};
use serde::Serialize;

use crate::compose::Part;
use crate::data::Emitter;
use crate::metrics::Recorder;
use crate::stream::Stream;
use crate::{Error, Params, Result};

/// What a stream's processor may know of its stream, and its way to the stream's data channel. Cheap to clone: keep one
/// to [`emit`](Self::emit) from any method.
#[derive(Debug, Clone)]
pub struct StreamContext {
    /// The stream's name, as in logs, metrics and the status.
    pub id: String,
    /// The parameters that the stream was started with, less those that the server itself answers.
    pub params: Params,
    /// Where the stream's tensors are.
    pub device: Device,
    emitter: Emitter,
    /// None where a processor is tried out.
    stream: Option<Arc<Stream>>,
}

impl StreamContext {
    /// A context without a stream, for trying a processor out: what it emits goes nowhere.
    pub fn new(id: impl Into<String>, params: Params, device: Device) -> Self {
        Self { id: id.into(), params, device, emitter: Emitter::nowhere(), stream: None }
    }

    pub(crate) fn of(stream: &Arc<Stream>) -> Self {
        Self {
            emitter: stream.emitter(),
            stream: Some(Arc::clone(stream)),
            ..Self::new(&stream.id, stream.params(), stream.options.device.clone())
        }
    }

    /// Sends `value` as one line of JSON to the stream's data channel; lines go out in batches, a third of a second
    /// after the first of them. Never waits: where the channel is slower than the processor the oldest lines are
    /// dropped, and counted. A stream without a data channel takes and forgets them.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: something that is not JSON, or a line longer than 64 KiB.
    pub fn emit(&self, value: &impl Serialize) -> Result<(), Error> {
        self.emitter.emit(value)
    }

    /// Whether the stream's parameter `show_loading` is set at this moment.
    pub fn show_loading(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.settings().show_loading == Some(true))
    }

    /// The same stream for a part of a composition, whose parameters are `params`.
    #[must_use]
    pub fn with_params(&self, params: Params) -> Self {
        Self { params, ..self.clone() }
    }

    /// What counts the stream's pictures.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.stream.as_ref().map(|stream| &stream.recorder)
    }

    /// Counts an error that no call is left to return.
    pub(crate) fn error(&self, what: impl std::fmt::Display) {
        match &self.stream {
            Some(stream) => stream.error(what),
            None => tracing::warn!(stream = %self.id, "{what}"),
        }
    }
}

/// What a processor makes from nothing but time, for a stream without input.
#[derive(Debug, Default)]
pub struct Generated {
    /// The picture, if one goes out.
    pub video: Option<VideoFrame>,
    /// The sound from this moment on, about as much as lasts until the next call.
    pub audio: Vec<AudioFrame>,
}

/// What became of a picture that a processor was given.
#[derive(Debug)]
pub enum Started {
    /// The answer is there. `None` withholds the picture.
    Done(Option<VideoFrame>),
    /// The processor works at it, and gives the answer by [`FrameProcessor::finish_video`].
    AtWork,
}

/// The answer to a picture that a processor had at work.
#[derive(Debug)]
pub struct Finished {
    /// Of the picture that went in, in 90 kHz ticks: by this it is known.
    pub timestamp: i64,
    /// What [`FrameProcessor::process_video`] would have returned.
    pub result: Result<Option<VideoFrame>>,
}

/// What [`FrameProcessor::process_audio`] returns where it is not implemented. By its name, which no future outside of
/// this module has, [`FrameProcessor::takes_audio`] knows a processor that does not touch sound. Were the compiler to
/// name it otherwise, sound would take the way through the processor, and come out the same.
#[derive(Debug)]
struct Untouched(Option<AudioFrame>);

impl Future for Untouched {
    type Output = Result<Vec<AudioFrame>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.take().into_iter().collect()))
    }
}

/// The decoder of the packet that `takes_audio` asks with.
struct NoSound;

impl DecodeAudio for NoSound {
    fn decode(&self, _: &Bytes) -> Result<Vec<Vec<f32>>, cutrickle_frame::Error> {
        Ok(Vec::new())
    }
}

/// Turns the pictures and the sound of live streams into others.
///
/// [`initialize`](Self::initialize) runs once, on the prototype; every stream then gets a clone, with its own
/// state and parameters. Tensors are shared by reference count, so weights exist once.
///
/// The methods of one clone are called one at a time, on a thread of the stream's own that drives the returned
/// future: they may compute for as long as they like, and await tokio's timers and sockets. When they are
/// slower than the input, they are given the newest frame. An error or a panic costs its frame, not the
/// stream.
pub trait FrameProcessor: Clone + Send + 'static {
    /// Called once before the first stream, or once on a clone for each of several devices: load the model on `device`,
    /// warm up. The server is LOADING until it returns.
    fn initialize(&mut self, device: &Device) -> impl Future<Output = Result<()>> {
        let _ = device;
        ready(Ok(()))
    }

    /// Called once per picture. `None` withholds it: nothing goes out for it.
    fn process_video(&mut self, frame: VideoFrame) -> impl Future<Output = Result<Option<VideoFrame>>>;

    /// Called once per stretch of sound (one packet of the input, about 20 ms). The frames to send out; none drops
    /// it. Frames returned as they came are sent on without being decoded.
    fn process_audio(&mut self, frame: AudioFrame) -> impl Future<Output = Result<Vec<AudioFrame>>> {
        Untouched(Some(frame))
    }

    /// Whether the stream's sound is given to [`process_audio`](Self::process_audio). A processor that does not
    /// implement that takes none: sound then goes straight to the output, and never waits for a picture. Called once for
    /// each stream. Only processors made of others have to implement it.
    fn takes_audio(&mut self) -> bool {
        // The future is not awaited: what it is says whose it is.
        let probe = AudioFrame::from_packet(Bytes::new(), 0, 48_000, Arc::new(NoSound));
        std::any::type_name_of_val(&self.process_audio(probe)) != std::any::type_name::<Untouched>()
    }

    /// Called in the place of the other two for a stream without input, `target_fps` times a second (24 unless set):
    /// `timestamp` is the time since the stream's start in ticks of 90 kHz, and what is returned goes out with it.
    /// Moments that pass while an earlier call lasts are left out.
    fn generate(&mut self, timestamp: i64) -> impl Future<Output = Result<Generated>> {
        let _ = timestamp;
        ready(Ok(Generated::default()))
    }

    /// Called with the parameters that a stream starts with, unless there are none, and when others arrive in
    /// mid-stream, before the next frame. Updates that come faster than they are taken are merged, the newest value of
    /// each name winning.
    ///
    /// An error refuses them, and is what the caller is told: the stream goes on, and its status keeps showing what was in
    /// force before. So it should leave everything as it was. Where what was merged is refused, each update is given by
    /// itself.
    fn update_params(&mut self, params: &Params) -> impl Future<Output = Result<()>> {
        let _ = params;
        ready(Ok(()))
    }

    /// Called before a stream's first frame. Unless it is written anew it hands the stream's parameters to
    /// [`update_params`](Self::update_params). An error ends the stream.
    fn on_stream_start(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        async {
            match stream.params.is_empty() {
                true => Ok(()),
                false => self.update_params(&stream.params).await,
            }
        }
    }

    /// Called after a stream's last frame.
    fn on_stream_stop(&mut self) -> impl Future<Output = Result<()>> {
        ready(Ok(()))
    }

    /// How parameters reach the processor where it is a part of a composition: its name, and the names of the
    /// parameters that it takes. Without a name, and taking any, unless it says otherwise. A name that no part takes is
    /// refused before the processor hears of it.
    fn parts(&self) -> Vec<Part> {
        vec![Part::any()]
    }

    /// Gives the processor a picture without waiting for the answer. For processors that have several pictures at work;
    /// all others answer at once, as [`process_video`](Self::process_video) does, and need not know of this.
    ///
    /// A processor that has pictures at work gives the answers that are pictures in the order in which those went in. It
    /// bounds how many it has by waiting here.
    fn start_video(&mut self, frame: VideoFrame) -> impl Future<Output = Result<Started>> {
        async { self.process_video(frame).await.map(Started::Done) }
    }

    /// Waits until [`finish_video`](Self::finish_video) need not; for ever where nothing is at work. Must be safe to
    /// cancel.
    fn video_ready(&mut self) -> impl Future<Output = ()> {
        pending()
    }

    /// The next answer to a picture at work; `None` where it turns out that there is none yet.
    fn finish_video(&mut self) -> impl Future<Output = Option<Finished>> {
        ready(None)
    }
}
