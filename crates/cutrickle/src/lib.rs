//! Real-time AI video: one frame processor between two live streams.
//!
//! Implement [`FrameProcessor`] and hand it to [`run`]. That is a worker with Livepeer's REST contract: it
//! subscribes to a live stream over trickle, decodes it, calls the processor with each frame as a candle
//! tensor, encodes what comes back, and publishes it.
//!
//! ```no_run
//! use cutrickle::prelude::*;
//!
//! #[derive(Clone)]
//! struct Invert;
//!
//! impl FrameProcessor for Invert {
//!     async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
//!         let rgb = frame.tensor()?; // (H, W, 3), u8, on the stream's device
//!         let inverted = (255.0 - rgb.to_dtype(DType::F32)?)?.to_dtype(DType::U8)?;
//!         Ok(Some(frame.replace_tensor(inverted)?))
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     cutrickle::run(Invert)
//! }
//! ```
//!
//! [`run`] takes the arguments of `cutrickle serve`. [`StreamServer`] is the same worker with `main` in your
//! hands, and [`TrickleClient`] and [`Client`] are streams without a worker around them. Streams need not
//! come and go over trickle: [`ends`] is where other transports are put, and [`file`](mod@file) has files.
//!
//! This crate is a facade: it names what users need of the crates behind it, and adds the built-in
//! [`processors`]. Whatever they take and give of other crates is re-exported, so that this may be a
//! program's only dependency.
//!
//! # Features
//!
//! - `server` (default): [`run`] and [`StreamServer`].
//! - `models` (default): [`models`], candle models as processors.
//! - `trickle-server` (default): the trickle server in [`trickle`].
//! - `cuda`: decoding, tensors and encoding on NVIDIA GPUs. Needs `nvcc` to build.
//! - `ffmpeg`: video decoding by the system's libavcodec.
//! - `fdk-aac`: AAC encoding. Mind the library's licence.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod processors;

#[cfg(feature = "server")]
pub use axum;
pub use bytes;
pub use candle_core;
pub use schemars;
pub use serde;
pub use serde_json;

pub use cutrickle_codec as codec;
pub use cutrickle_codec::{Backend, Backends, Coding, RateControl};
pub use cutrickle_error::chain;
pub use cutrickle_file as file;
pub use cutrickle_file::{FileSink, FileSource};
pub use cutrickle_frame::{
    AudioFrame, Canvas, DecodeAudio, DeviceChoice, FrameId, I420, OpenedDevices, Origin, Plane, PlaneMut,
    Rgba, VideoFrame, dtype_of, element_of,
};
pub use cutrickle_live as live;
pub use cutrickle_live::{Retry, StreamRequest, TrickleClient, TrickleOptions};
pub use cutrickle_media::{
    AccessUnit, AudioCodec, Codec, Colour, ColourSpace, Element, Fit, Layout, Loss, Matrix, ModelInput, Size,
    Span, Ticks, Timestamp, TrackKind, Tracks, UnknownCodec, VideoCodec,
};
#[cfg(feature = "models")]
pub use cutrickle_models as models;
pub use cutrickle_pipeline::{
    AudioOutput, Background, BoxError, Client, EndReason, Ends, Error, Figures, FrameProcessor, Generated,
    InputInfo, InputKind, InputTrack, LastFrames, Metrics, MetricsRegistry, NoParams, Params, Queueing,
    Result, Session, Stage, StageBackends, StreamContext, StreamOptions, StreamParams, StreamState,
    StreamStatus, Trial, TypedParams, Verdict, VideoFrames, compose, ends, initialize,
};
#[cfg(feature = "server")]
pub use cutrickle_server::{
    BoundServer, Gpu, Gpus, Hardware, Limits, LiveRunner, Registration, StreamServer, StreamServerBuilder,
};
pub use cutrickle_trickle as trickle;
#[cfg(feature = "server")]
pub use cutrickle_worker as worker;
#[cfg(feature = "server")]
pub use cutrickle_worker::{run, run_with};

/// What a program that processes live video needs.
pub mod prelude {
    pub use candle_core::{DType, Device, Tensor};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    #[cfg(feature = "server")]
    pub use crate::StreamServer;
    pub use crate::compose::{
        Batched, Compose, buffered, every, from_fn, map_tensor, parallel, switch, with_model, with_overlay,
        with_timeout,
    };
    pub use crate::{
        AudioFrame, Background, Canvas, Element, Fit, FrameProcessor, Generated, LastFrames, Layout,
        ModelInput, NoParams, Params, Result, Size, Stage, StreamContext, Ticks, Timestamp, Trial,
        TrickleClient, TypedParams, VideoFrame,
    };
    #[cfg(feature = "models")]
    pub use cutrickle_models::{Answer, CandleModel, Inference, Weights, as_picture, candle_nn};
}
