//! Any candle model as a processor.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use cutrickle_error::chain;
use cutrickle_frame::{ModelInput, VideoFrame};
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{BoxError, FrameProcessor, Params, Result, StreamContext};

use crate::{Answer, Weights};

/// What a model made of a picture.
#[derive(Debug)]
pub struct Inference<'a> {
    /// The model's output for a batch of this one picture.
    pub output: Tensor,
    /// The picture, as it came.
    pub frame: VideoFrame,
    /// The stream, by which data can be [sent](StreamContext::emit).
    pub stream: &'a StreamContext,
}

/// Answers with the model's output as a picture: (1, 1|3|4, H, W), floats of 0 to 1, of whatever size.
///
/// # Errors
/// An output of another shape.
pub fn as_picture(made: Inference<'_>) -> Result<Option<VideoFrame>> {
    let pixels = made.output.squeeze(0)?.permute((1, 2, 0))?;
    Ok(Some(made.frame.replace_tensor(pixels)?))
}

/// A candle model as a processor. Streams share the model; each has its own copy of the closure that makes an answer of
/// the model's output.
///
/// ```
/// use cutrickle_frame::ModelInput;
/// use cutrickle_models::{CandleModel, Inference, Weights, as_picture};
/// use cutrickle_models::candle_nn::{self, Conv2dConfig, VarBuilder};
///
/// // A model that is there already, closures among them.
/// let negative = CandleModel::new(|x: &candle_core::Tensor| 1.0 - x, ModelInput::default(), as_picture);
///
/// // One that is built from weights when the worker starts, and answers with data.
/// let input = ModelInput { mean: [0.5; 3], std: [0.5; 3], ..ModelInput::new(224, 224) };
/// let build = |weights: VarBuilder<'_>| candle_nn::conv2d(3, 8, 3, Conv2dConfig::default(), weights.pp("conv"));
/// let counted = CandleModel::load(Weights::File("model.safetensors".into()), input, build, |seen: Inference<'_>| {
///     let score = seen.output.mean_all()?.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?;
///     seen.stream.emit(&serde_json::json!({ "timestamp": seen.frame.timestamp(), "score": score }))?;
///     Ok(Some(seen.frame))
/// });
/// ```
pub struct CandleModel<M, F> {
    source: Source<M>,
    model: Option<Arc<M>>,
    input: ModelInput,
    warm_up: (u32, u32),
    answer: F,
    stream: Option<StreamContext>,
}

/// Where the model comes from.
enum Source<M> {
    Made(Arc<M>),
    Load { weights: Weights, build: Arc<Build<M>> },
}

type Build<M> = dyn Fn(VarBuilder<'_>) -> candle_core::Result<M> + Send + Sync;

/// The size of a warm-up where frames keep their own: a usual one of live streams.
const USUAL_SIZE: (u32, u32) = (1280, 720);

impl<M, F> CandleModel<M, F>
where
    M: Module + Send + Sync + 'static,
    F: FnMut(Inference<'_>) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    /// `model` on pictures that are brought to `input`, with a leading dimension of 1; `answer` makes the processor's
    /// answer of its output. For models without tensors of their own, which are right on any device.
    pub fn new(model: M, input: ModelInput, answer: F) -> Self {
        Self::from(Source::Made(Arc::new(model)), input, answer)
    }

    /// The same with a model that `build` makes of `weights` on the worker's device, in the type of `input` (f32 where
    /// that is u8).
    pub fn load(
        weights: Weights,
        input: ModelInput,
        build: impl Fn(VarBuilder<'_>) -> candle_core::Result<M> + Send + Sync + 'static,
        answer: F,
    ) -> Self {
        Self::from(Source::Load { weights, build: Arc::new(build) }, input, answer)
    }

    fn from(source: Source<M>, input: ModelInput, answer: F) -> Self {
        Self { source, model: None, input, warm_up: input.size.unwrap_or(USUAL_SIZE), answer, stream: None }
    }

    /// The same model with another answer: one that takes parameters is no closure.
    pub fn answering<A: Answer>(self, answer: A) -> CandleModel<M, A> {
        let Self { source, model, input, warm_up, stream, .. } = self;
        CandleModel { source, model, input, warm_up, answer, stream }
    }
}

impl<M: Module + Send + Sync + 'static, A: Answer> CandleModel<M, A> {
    /// The size of pictures that streams are expected to have, for a model whose input has none of its own: the model is
    /// run on it once when the worker starts, so that the first picture of a stream finds kernels loaded and memory
    /// reserved. 1280x720 unless it is set.
    #[must_use]
    pub fn warmed_up_at(self, width: u32, height: u32) -> Self {
        Self { warm_up: self.input.size.unwrap_or((width, height)), ..self }
    }

    fn warm_up(&self, model: &M, device: &Device) -> candle_core::Result<()> {
        let (width, height) = self.warm_up;
        let shape = self.input.shape(width, height);
        let nothing = Tensor::zeros(&shape, self.input.dtype, device)?.unsqueeze(0)?;
        model.forward(&nothing)?;
        device.synchronize()
    }
}

impl<M: Module + Send + Sync + 'static, A: Answer> FrameProcessor for CandleModel<M, A> {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        let model = match &self.source {
            Source::Made(model) => Arc::clone(model),
            Source::Load { weights, build } => {
                let dtype = if self.input.dtype == DType::U8 { DType::F32 } else { self.input.dtype };
                Arc::new(build(weights.open(dtype, device)?).map_err(|e| weights.failed(&e))?)
            }
        };
        self.warm_up(&model, device).map_err(|e| {
            let (width, height) = self.warm_up;
            BoxError::from(format!("the model on a picture of {width}x{height}: {}", chain(&e)))
        })?;
        self.model = Some(model);
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        let Some(model) = &self.model else { return Err("a model that was not initialised".into()) };
        let output = model.forward(&frame.to_model(&self.input)?.unsqueeze(0)?)?;
        let stream = self
            .stream
            .get_or_insert_with(|| StreamContext::new(String::new(), Params::new(), frame.device().clone()));
        self.answer.answer(Inference { output, frame, stream })
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        self.stream = Some(stream.clone());
        self.answer.set(&stream.params)
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        self.answer.set(params)
    }

    fn parts(&self) -> Vec<Part> {
        vec![self.answer.part()]
    }
}

impl<M, F: Clone> Clone for CandleModel<M, F> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            model: self.model.clone(),
            answer: self.answer.clone(),
            stream: None,
            ..*self
        }
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

impl<M, F> fmt::Debug for CandleModel<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleModel").field("input", &self.input).finish_non_exhaustive()
    }
}
