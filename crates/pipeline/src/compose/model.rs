//! Processors that consist of a model loaded once and state for each stream.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::Device;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Part;
use crate::processor::takes_audio;
use crate::stage::{Instance, sealed};
use crate::{FrameProcessor, Result, Stage, StreamContext, TypedParams};

/// A model that is loaded once, with a processor for each stream: see [`with_model`].
pub struct WithModel<M, P, L, S> {
    load: L,
    start: S,
    part: Part,
    /// One per device, shared by the streams on it.
    model: Option<Arc<M>>,
    processor: PhantomData<fn() -> P>,
}

/// Creates a processor from two functions. `load` is called once per device and creates what all streams
/// share: a model, a client, a connection. `start` is called for each stream and creates its processor, which
/// holds the model by reference and has its own state. Both always exist when a frame arrives, so neither
/// needs to be optional.
///
/// ```
/// use std::sync::Arc;
///
/// use candle_core::{Device, Tensor};
/// use cutrickle_frame::VideoFrame;
/// use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, compose::with_model};
///
/// struct Model {
///     weights: Tensor,
/// }
///
/// struct Detector {
///     model: Arc<Model>,
///     frames: u64,
/// }
///
/// impl FrameProcessor for Detector {
///     async fn process_video(&mut self, frame: VideoFrame, stream: &StreamContext) -> Result<Option<VideoFrame>> {
///         self.frames += 1;
///         stream.emit(&serde_json::json!({ "frame": self.frames, "weights": self.model.weights.dims() }))?;
///         Ok(Some(frame))
///     }
/// }
///
/// let detector = with_model(
///     async |device: &Device| Ok(Model { weights: Tensor::zeros(3, candle_core::DType::F32, device)? }),
///     |model: &Arc<Model>, _: &StreamContext| Ok(Detector { model: Arc::clone(model), frames: 0 }),
/// );
/// # let _ = detector;
/// ```
pub fn with_model<M, P, L, S>(load: L, start: S) -> WithModel<M, P, L, S>
where
    M: Send + Sync + 'static,
    P: FrameProcessor,
    L: AsyncFn(&Device) -> Result<M> + Clone + Send + 'static,
    S: Fn(&Arc<M>, &StreamContext) -> Result<P> + Clone + Send + 'static,
{
    WithModel { load, start, part: Part::any(), model: None, processor: PhantomData }
}

impl<M, P, L, S> WithModel<M, P, L, S> {
    /// Declares the parameters of the processors by the struct that holds them. Unknown names are then
    /// rejected, and the schema is available before there is a stream.
    #[must_use]
    pub fn taking<T>(self, params: T) -> Self
    where
        T: Serialize + DeserializeOwned + JsonSchema + Send,
    {
        Self { part: Part::of_schema(TypedParams::schema(&params)), ..self }
    }
}

impl<M, P, L, S> sealed::Sealed for WithModel<M, P, L, S> {}

impl<M, P, L, S> Stage for WithModel<M, P, L, S>
where
    M: Send + Sync + 'static,
    P: FrameProcessor,
    L: AsyncFn(&Device) -> Result<M> + Clone + Send + 'static,
    S: Fn(&Arc<M>, &StreamContext) -> Result<P> + Clone + Send + 'static,
{
    type Running = Instance<P>;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        self.model = Some(Arc::new((self.load)(device).await?));
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        vec![self.part.clone()]
    }

    fn takes_audio(&self) -> bool {
        takes_audio::<P>()
    }

    async fn start(&self, stream: &StreamContext) -> Result<Instance<P>> {
        let model = self.model.as_ref().ok_or("the model was not loaded: call `initialize` first")?;
        Instance::start((self.start)(model, stream)?, stream).await
    }
}

impl<M, P, L: Clone, S: Clone> Clone for WithModel<M, P, L, S> {
    fn clone(&self) -> Self {
        Self {
            load: self.load.clone(),
            start: self.start.clone(),
            part: self.part.clone(),
            model: self.model.clone(),
            processor: PhantomData,
        }
    }
}

impl<M, P, L, S> fmt::Debug for WithModel<M, P, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithModel").field("loaded", &self.model.is_some()).finish_non_exhaustive()
    }
}
