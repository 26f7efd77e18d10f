//! What is answered of a model's output.

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{NoParams, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Inference;

/// Makes a processor's answer of a model's output: a closure, or a type that takes parameters. Each stream
/// has a clone of its own.
///
/// ```
/// use cutrickle_frame::VideoFrame;
/// use cutrickle_models::{Answer, Inference};
/// use cutrickle_pipeline::Result;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// struct Limit {
///     /// The mean from which a frame is let through.
///     #[schemars(range(min = 0.0, max = 1.0))]
///     above: f64,
/// }
///
/// impl Default for Limit {
///     fn default() -> Self {
///         Self { above: 0.5 }
///     }
/// }
///
/// #[derive(Clone)]
/// struct Gate;
///
/// impl Answer for Gate {
///     type Params = Limit;
///
///     fn answer(&mut self, made: Inference<'_>, params: &Limit) -> Result<Option<VideoFrame>> {
///         let mean = made.output.mean_all()?.to_scalar::<f32>()?;
///         Ok((f64::from(mean) > params.above).then_some(made.frame))
///     }
/// }
/// ```
pub trait Answer: Clone + Send + 'static {
    /// The parameters that it takes. A stream starts with the default, and with what its caller says of them.
    type Params: Serialize + DeserializeOwned + JsonSchema + Default + Send + 'static;

    /// The answer: a frame, or none.
    ///
    /// # Errors
    /// Its own. An error costs the frame.
    fn answer(&mut self, made: Inference<'_>, params: &Self::Params) -> Result<Option<VideoFrame>>;
}

impl<F> Answer for F
where
    F: FnMut(Inference<'_>) -> Result<Option<VideoFrame>> + Clone + Send + 'static,
{
    type Params = NoParams;

    fn answer(&mut self, made: Inference<'_>, _: &NoParams) -> Result<Option<VideoFrame>> {
        self(made)
    }
}
