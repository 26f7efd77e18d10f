//! How a stream comes to be, with the processor's type forgotten: everything behind it is the same for all
//! processors.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use cutrickle_pipeline::{
    Error, FrameProcessor, MetricsRegistry, Result, Session, StreamOptions, StreamRequest, initialize,
};

/// Starts streams with clones of the initialised prototypes.
pub(crate) struct Launch {
    devices: Vec<Device>,
    start: Start,
}

/// Starts a stream on the device of this place. Must be called on a tokio runtime, from where blocking is allowed: the
/// user's `clone` runs here.
type Start = Box<dyn Fn(StreamRequest, usize) -> Result<Session, Error> + Send + Sync>;

/// Initialises a prototype on each device.
pub(crate) type Load = Box<
    dyn FnOnce(
            StreamOptions,
            Vec<Device>,
            MetricsRegistry,
        ) -> Pin<Box<dyn Future<Output = Result<Launch>> + Send>>
        + Send,
>;

impl Launch {
    /// Starts a stream on the device on which the fewest of `running` are.
    pub(crate) fn start(
        &self,
        request: StreamRequest,
        running: &[std::sync::Arc<Session>],
    ) -> Result<Session, Error> {
        let on =
            |device: &Device| running.iter().filter(|session| session.device().same_device(device)).count();
        let place = (0..self.devices.len()).min_by_key(|place| on(&self.devices[*place])).unwrap_or(0);
        (self.start)(request, place)
    }
}

pub(crate) fn loader<P: FrameProcessor>(processor: P) -> Load {
    Box::new(move |options, devices, metrics| {
        Box::pin(async move {
            let Some((last, others)) = devices.split_last() else {
                return Err(Error::invalid("a worker without a device").into());
            };
            let mut prototypes = Vec::with_capacity(devices.len());
            for device in others {
                prototypes.push(prototype(processor.clone(), device, &options).await?);
            }
            // No clone for the only device: a `clone` that fails then costs a start, not the worker.
            prototypes.push(prototype(processor, last, &options).await?);
            let start: Start = Box::new(move |request, place| {
                let Some((prototype, options)) = prototypes.get(place) else {
                    return Err(Error::invalid("a worker without a device"));
                };
                let prototype = prototype.lock().unwrap_or_else(PoisonError::into_inner);
                Session::start(&*prototype, request, options.clone(), &metrics)
            });
            Ok(Launch { devices, start })
        })
    })
}

/// An initialised prototype, and the options of the streams that are cloned from it. The lock makes a prototype shareable;
/// only starts take it.
async fn prototype<P: FrameProcessor>(
    processor: P,
    device: &Device,
    options: &StreamOptions,
) -> Result<(Mutex<P>, StreamOptions)> {
    let prototype = initialize(processor, device).await?;
    Ok((Mutex::new(prototype), StreamOptions { device: device.clone(), ..options.clone() }))
}
