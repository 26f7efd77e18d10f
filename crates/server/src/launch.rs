//! How streams are started. The stage's type ends here: everything behind [`Launch`] is the same for all
//! stages.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use cutrickle_live::{StreamRequest, TrickleOptions};
use cutrickle_pipeline::compose::Compose;
use cutrickle_pipeline::{Error, MetricsRegistry, Result, Session, Stage, StreamOptions, initialize};
use serde_json::{Value, json};

/// How streams are run, the same for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) options: StreamOptions,
    pub(crate) trickle: TrickleOptions,
    pub(crate) metrics: MetricsRegistry,
}

/// Starts streams with instances of the initialised prototypes.
pub(crate) struct Launch {
    devices: Vec<Device>,
    start: Start,
}

/// Starts a stream on the device at this place. Must be called on a tokio runtime, from where blocking is
/// allowed: the user's `clone` runs here.
type Start = Box<dyn Fn(StreamRequest, usize) -> Result<Session, Error> + Send + Sync>;

/// Initialises a prototype on each device.
pub(crate) type Load =
    Box<dyn FnOnce(Running, Vec<Device>) -> Pin<Box<dyn Future<Output = Result<Launch>> + Send>> + Send>;

impl Launch {
    /// Starts a stream on the device that the fewest of `running` are on.
    pub(crate) fn start(&self, request: StreamRequest, running: &[Arc<Session>]) -> Result<Session, Error> {
        let on =
            |device: &Device| running.iter().filter(|session| session.device().same_device(device)).count();
        let fewest = self.devices.iter().enumerate().min_by_key(|(_, device)| on(device));
        (self.start)(request, fewest.map_or(0, |(place, _)| place))
    }
}

pub(crate) fn loader<S: Stage>(stage: S) -> Load {
    Box::new(move |running, devices| {
        Box::pin(async move {
            let Some((last, others)) = devices.split_last() else {
                return Err(Error::invalid("a worker without a device").into());
            };
            let mut prototypes = Vec::with_capacity(devices.len());
            for device in others {
                prototypes.push(prototype(stage.clone(), device, &running.options).await?);
            }
            // No clone for the only device: a `clone` that fails then costs a start, not the worker.
            prototypes.push(prototype(stage, last, &running.options).await?);
            let start: Start = Box::new(move |request, place| {
                let Some((prototype, options)) = prototypes.get(place) else {
                    return Err(Error::invalid("a worker without a device"));
                };
                let prototype = prototype.lock().unwrap_or_else(PoisonError::into_inner);
                let Running { trickle, metrics, .. } = &running;
                cutrickle_live::start(&*prototype, request, options.clone(), trickle, metrics)
            });
            Ok(Launch { devices, start })
        })
    })
}

/// An initialised prototype, and the options of the streams that it is for. The lock makes a prototype
/// shareable; only starts take it.
async fn prototype<S: Stage>(
    stage: S,
    device: &Device,
    options: &StreamOptions,
) -> Result<(Mutex<S>, StreamOptions)> {
    let prototype = initialize(stage, device).await?;
    let mut options = options.clone();
    options.device = device.clone();
    Ok((Mutex::new(prototype), options))
}

/// The JSON schema of a stage's parameters. Looking at them may clone the user's processor; where that panics
/// the schema is the one that allows anything.
pub(crate) fn params_schema(stage: &impl Stage) -> Value {
    catch_unwind(AssertUnwindSafe(|| stage.params_schema())).unwrap_or_else(|_| json!({}))
}
