//! Any candle model as a processor. A [`CandleModel`] is what is loaded once; with an answer, of which each
//! stream has a clone, it is a stage.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use cutrickle_error::chain;
use cutrickle_frame::{VideoFrame, dtype_of};
use cutrickle_media::{Element, ModelInput, Size};
use cutrickle_pipeline::compose::with_model;
use cutrickle_pipeline::{BoxError, FrameProcessor, Result, Stage, StreamContext, TypedParams};

use crate::{Answer, Weights};

/// What a model made of a frame.
#[derive(Debug)]
pub struct Inference<'a> {
    /// The model's output for a batch of this one frame.
    pub output: Tensor,
    /// The frame, as it came.
    pub frame: VideoFrame,
    /// The stream, by which data can be [sent](StreamContext::emit).
    pub stream: &'a StreamContext,
}

/// Answers with the model's output as a frame: (1, 1|3|4, H, W), floats of 0 to 1, of whatever size.
///
/// # Errors
/// An output of another shape.
pub fn as_picture(made: Inference<'_>) -> Result<Option<VideoFrame>> {
    let pixels = made.output.squeeze(0)?.permute((1, 2, 0))?;
    Ok(Some(made.frame.replace_tensor(pixels)?))
}

/// A candle model for a processor: the model, and what it takes. It is loaded once for each device, and all
/// streams share it. [`answering`](Self::answering) makes a processor of it.
///
/// ```
/// use cutrickle_media::ModelInput;
/// use cutrickle_models::{CandleModel, Inference, Weights, as_picture};
/// use cutrickle_models::candle_nn::{self, Conv2dConfig, VarBuilder};
///
/// // A model without weights: a closure.
/// let negative = CandleModel::new(|x: &candle_core::Tensor| 1.0 - x, ModelInput::default()).answering(as_picture);
///
/// // One that is built from weights when the worker starts, and answers with data.
/// let input = ModelInput { mean: [0.5; 3], std: [0.5; 3], ..ModelInput::new(224, 224) };
/// let build = |weights: VarBuilder<'_>| candle_nn::conv2d(3, 8, 3, Conv2dConfig::default(), weights.pp("conv"));
/// let model = CandleModel::load(Weights::File("model.safetensors".into()), input, build);
/// let scored = model.answering(|made: Inference<'_>| {
///     let score = made.output.mean_all()?.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?;
///     made.stream.emit(&serde_json::json!({ "pts": made.frame.pts(), "score": score }))?;
///     Ok(Some(made.frame))
/// });
/// ```
pub struct CandleModel<M> {
    source: Source<M>,
    input: ModelInput,
    warm_up: Size,
}

/// Where the model comes from.
enum Source<M> {
    Made(Arc<M>),
    Load { weights: Weights, build: Arc<Build<M>> },
}

type Build<M> = dyn Fn(VarBuilder<'_>) -> candle_core::Result<M> + Send + Sync;

/// The size of a warm-up where frames keep their own: a usual one of live streams.
const USUAL_SIZE: Size = Size::new(1280, 720);

impl<M: Module + Send + Sync + 'static> CandleModel<M> {
    /// `model` on frames that are brought to `input`, with a leading dimension of 1. For models without
    /// tensors of their own, which are right on any device.
    pub fn new(model: M, input: ModelInput) -> Self {
        Self::from(Source::Made(Arc::new(model)), input)
    }

    /// The same with a model that `build` makes of `weights` on the worker's device, in the type of `input`
    /// (f32 where that is u8).
    pub fn load(
        weights: Weights,
        input: ModelInput,
        build: impl Fn(VarBuilder<'_>) -> candle_core::Result<M> + Send + Sync + 'static,
    ) -> Self {
        Self::from(Source::Load { weights, build: Arc::new(build) }, input)
    }

    fn from(source: Source<M>, input: ModelInput) -> Self {
        Self { source, input, warm_up: input.size.unwrap_or(USUAL_SIZE) }
    }

    /// The size of frames that streams are expected to have, for a model whose input has none of its own: the
    /// model is run on it once when the worker starts, so that the first frame of a stream finds kernels
    /// loaded and memory reserved. 1280x720 unless it is set.
    #[must_use]
    pub fn warmed_up_at(self, width: u32, height: u32) -> Self {
        Self { warm_up: self.input.size.unwrap_or(Size { width, height }), ..self }
    }

    /// A processor: `answer` makes its answer of the model's output. Each stream has a clone of `answer`, and
    /// so whatever it captures for itself.
    pub fn answering<F>(self, answer: F) -> impl Stage + use<M, F>
    where
        F: FnMut(Inference<'_>) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
    {
        self.answering_with(answer)
    }

    /// The same with a type in the place of a closure: one that takes parameters.
    pub fn answering_with<A: Answer>(self, answer: A) -> impl Stage + use<M, A> {
        let input = self.input;
        with_model(
            async move |device: &Device| self.loaded(device),
            move |model: &Arc<_>, _: &StreamContext| {
                let (model, answer) = (Arc::clone(model.as_ref()), answer.clone());
                Ok(Answering { model, input, answer, params: A::Params::default() })
            },
        )
        .taking(A::Params::default())
    }

    /// The model on `device`, run once.
    fn loaded(&self, device: &Device) -> Result<Arc<M>> {
        let model = match &self.source {
            Source::Made(model) => Arc::clone(model),
            Source::Load { weights, build } => {
                let dtype = match self.input.element {
                    Element::U8 => DType::F32,
                    element => dtype_of(element),
                };
                Arc::new(build(weights.open(dtype, device)?).map_err(|e| weights.failed(&e))?)
            }
        };
        self.warm_up(&model, device).map_err(|e| {
            BoxError::from(format!("the model on a picture of {}: {}", self.warm_up, chain(&e)))
        })?;
        Ok(model)
    }

    fn warm_up(&self, model: &M, device: &Device) -> candle_core::Result<()> {
        let shape = self.input.shape(self.warm_up.width, self.warm_up.height);
        let nothing = Tensor::zeros(&shape, dtype_of(self.input.element), device)?.unsqueeze(0)?;
        model.forward(&nothing)?;
        device.synchronize()
    }
}

/// A model in one stream: the model is everybody's, the rest the stream's own.
struct Answering<M, A: Answer> {
    model: Arc<M>,
    input: ModelInput,
    answer: A,
    params: A::Params,
}

impl<M: Module + Send + Sync + 'static, A: Answer> FrameProcessor for Answering<M, A> {
    async fn process_video(
        &mut self,
        frame: VideoFrame,
        stream: &StreamContext,
    ) -> Result<Option<VideoFrame>> {
        let output = self.model.forward(&frame.to_model(&self.input)?.unsqueeze(0)?)?;
        self.answer.answer(Inference { output, frame, stream }, &self.params)
    }

    fn params(&mut self) -> Option<&mut dyn TypedParams> {
        Some(&mut self.params)
    }
}

impl<M> Clone for CandleModel<M> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), ..*self }
    }
}

impl<M> Clone for Source<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Made(model) => Self::Made(Arc::clone(model)),
            Self::Load { weights, build } => {
                Self::Load { weights: weights.clone(), build: Arc::clone(build) }
            }
        }
    }
}

impl<M> fmt::Debug for CandleModel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleModel").field("input", &self.input).finish_non_exhaustive()
    }
}
