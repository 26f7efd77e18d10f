//! The one thing that a user writes.

use std::future::{Future, ready};

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};

use crate::{Params, Result};

/// What a stream's processor may know of its stream.
#[derive(Debug, Clone)]
pub struct StreamContext {
    /// The stream's name, as in logs, metrics and the status.
    pub id: String,
    /// The parameters that the stream was started with, less those that the server itself answers.
    pub params: Params,
    /// Where the stream's tensors are.
    pub device: Device,
}

/// Turns the pictures and the sound of live streams into others.
///
/// [`initialize`](Self::initialize) runs once, on the prototype; every stream then gets a clone, with its own
/// state and parameters. Tensors are shared by reference count, so weights exist once.
///
/// The methods of one clone are called one at a time, on a thread of the stream's own that drives the returned
/// future: they may compute for as long as they like, and await tokio's timers and sockets. When they are
/// slower than the input, the oldest waiting frame is dropped. An error or a panic costs its frame, not the
/// stream.
pub trait FrameProcessor: Clone + Send + 'static {
    /// Called once before the first stream: load the model, warm up. The server is LOADING until it returns.
    fn initialize(&mut self) -> impl Future<Output = Result<()>> {
        ready(Ok(()))
    }

    /// Called once per picture. `None` withholds it: nothing goes out for it.
    fn process_video(&mut self, frame: VideoFrame) -> impl Future<Output = Result<Option<VideoFrame>>>;

    /// Called once per stretch of sound (one packet of the input, about 20 ms). The frames to send out; none drops
    /// it. Frames returned as they came are sent on without being decoded.
    fn process_audio(&mut self, frame: AudioFrame) -> impl Future<Output = Result<Vec<AudioFrame>>> {
        ready(Ok(vec![frame]))
    }

    /// Called when parameters arrive in mid-stream, before the next frame. Updates that come faster than they
    /// are taken are merged, the newest value of each name winning.
    fn update_params(&mut self, params: &Params) -> impl Future<Output = Result<()>> {
        let _ = params;
        ready(Ok(()))
    }

    /// Called before a stream's first frame.
    fn on_stream_start(&mut self, stream: &StreamContext) -> impl Future<Output = Result<()>> {
        let _ = stream;
        ready(Ok(()))
    }

    /// Called after a stream's last frame.
    fn on_stream_stop(&mut self) -> impl Future<Output = Result<()>> {
        ready(Ok(()))
    }
}
