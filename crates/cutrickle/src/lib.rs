//! Real-time AI video: one frame processor between two live streams.
//!
//! Implement [`FrameProcessor`], hand it to a [`StreamServer`], and it answers Livepeer's REST contract: it subscribes to a
//! live stream over trickle, decodes it, calls the processor with each picture as a candle tensor, encodes what
//! comes back, and publishes it.
//!
//! ```no_run
//! use cutrickle::prelude::*;
//!
//! #[derive(Clone)]
//! struct Invert;
//!
//! impl FrameProcessor for Invert {
//!     async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
//!         let rgb = frame.tensor()?; // (H, W, 3), u8, on the stream's device
//!         let inverted = (255.0 - rgb.to_dtype(DType::F32)?)?.to_dtype(DType::U8)?;
//!         Ok(Some(frame.replace_tensor(inverted)?))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     StreamServer::builder(Invert).port(8000).build()?.run_forever().await?;
//!     Ok(())
//! }
//! ```
//!
//! This crate is a facade: it names what users need of the crates behind it, and adds the built-in
//! [`processors`].
#![forbid(unsafe_code)]

pub mod processors;

/// The code of the page on compositions is compiled as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/PROCESSORS.md")]
struct Compositions;

/// And that of the page on models.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/MODELS.md")]
struct Models;

/// And that of the page for those who come from Python.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/FROM-PYTRICKLE.md")]
struct FromPyTrickle;

pub use candle_core;
pub use cutrickle_codec::open::{BackendNames, backends};
pub use cutrickle_codec::{Coding, RateControl, VideoCodec};
pub use cutrickle_error::chain;
pub use cutrickle_frame::{
    AudioFrame, Colour, DeviceChoice, Fit, I420, Layout, Matrix, ModelInput, OpenedDevices, VideoFrame,
};
pub use cutrickle_models as models;
pub use cutrickle_pipeline::{
    AudioOutput, Backends, BoxError, EndReason, Error, Figures, Finished, FrameProcessor, Generated,
    InputInfo, InputKind, InputTrack, Metrics, MetricsRegistry, Params, Queueing, Result, Retry, Session,
    Started, StreamContext, StreamOptions, StreamRequest, StreamState, StreamStatus, TrickleClient, Verdict,
    VideoFrames, compose,
};
pub use cutrickle_server::{
    Gpu, Gpus, Hardware, Limits, LiveRunner, Registration, StreamServer, StreamServerBuilder,
};
pub use cutrickle_trickle as trickle;

/// What a program that processes live video needs.
pub mod prelude {
    pub use candle_core::{DType, Device, Tensor};

    pub use crate::compose::{
        Batched, Compose, every, from_fn, map_tensor, parallel, switch, with_overlay, with_timeout,
    };
    pub use crate::{
        AudioFrame, Fit, FrameProcessor, Generated, Layout, ModelInput, Params, Result, StreamContext,
        StreamServer, TrickleClient, VideoFrame,
    };
    pub use cutrickle_models::{CandleModel, Inference, Weights, as_picture, candle_nn};
}
