//! Makes a worker known to orchestrators, from the moment that it has loaded until it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cutrickle_trickle::ClientConfig;
use tokio::sync::watch;

use crate::Error;
use crate::live_runner::{self, LiveRunner};
use crate::orchestrator::Orchestrator;
use crate::registration::{self, Capability, Registration};
use crate::worker::Worker;

/// Where a worker makes itself known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcement {
    pub(crate) registration: Option<Registration>,
    pub(crate) live_runner: Option<LiveRunner>,
}

/// Largest `metadata` of a live runner, in bytes of JSON.
const MAX_METADATA: usize = 1024;

impl Announcement {
    /// Checks what can be checked before the worker runs. Reads the CA file, so it blocks.
    pub(crate) fn checked(self, trickle: &ClientConfig) -> Result<Announcer, Error> {
        let registration = match self.registration {
            Some(registration) => {
                Some((Orchestrator::new(&registration.orchestrator, trickle)?, registration))
            }
            None => None,
        };
        let live_runner = match self.live_runner {
            Some(runner) => {
                let size = serde_json::to_string(&runner.metadata).map_or(usize::MAX, |text| text.len());
                if size > MAX_METADATA {
                    return Err(Error::invalid(format!(
                        "metadata of {size} bytes of JSON: at most {MAX_METADATA} are allowed"
                    )));
                }
                if runner.price.as_f64().is_none_or(|price| price <= 0.0) {
                    return Err(Error::invalid(format!("price is {}: more than 0 is wanted", runner.price)));
                }
                Some((Orchestrator::new(&runner.orchestrator, trickle)?, runner))
            }
            None => None,
        };
        Ok(Announcer { registration, live_runner })
    }
}

/// An announcement that has been checked.
#[derive(Debug)]
pub(crate) struct Announcer {
    registration: Option<(Orchestrator, Registration)>,
    live_runner: Option<(Orchestrator, LiveRunner)>,
}

impl Announcer {
    /// Makes the worker known until `stop` turns true, then unregisters it.
    pub(crate) async fn run(self, worker: Arc<Worker>, stop: watch::Receiver<bool>) {
        tokio::join!(
            register(self.registration, &worker, stop.clone()),
            beat(self.live_runner, &worker, stop)
        );
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Where the sender is gone, the worker ends as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn register(
    registration: Option<(Orchestrator, Registration)>,
    worker: &Worker,
    stop: watch::Receiver<bool>,
) {
    let Some((orchestrator, registration)) = registration else { return };
    let capability = Capability {
        name: worker.identity.pipeline.clone(),
        description: registration.description,
        url: registration.url,
        capacity: worker.streams.capacity(),
        price_per_unit: registration.price_per_unit,
        price_scaling: registration.price_scaling,
        currency: registration.currency,
        token: worker.token.text().to_owned(),
    };
    let perhaps_taken = AtomicBool::new(false);
    tokio::select! {
        () = registration::register(&orchestrator, &registration.secret, &capability, &perhaps_taken) => stopped(stop).await,
        () = stopped(stop.clone()) => {}
    }
    if perhaps_taken.into_inner() {
        registration::unregister(&orchestrator, &registration.secret, &capability.name).await;
    }
}

async fn beat(runner: Option<(Orchestrator, LiveRunner)>, worker: &Worker, stop: watch::Receiver<bool>) {
    let Some((orchestrator, runner)) = runner else { return };
    let sessions = || worker.streams.sessions().iter().map(|session| session.id().to_owned()).collect();
    let (capacity, version) = (worker.streams.capacity(), &worker.identity.version);
    live_runner::run(&orchestrator, &runner, capacity, version, sessions, stopped(stop)).await;
}
