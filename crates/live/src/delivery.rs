//! Whether what a stream publishes gets to its server.

use cutrickle_pipeline::Result;
use cutrickle_pipeline::ends::{Outlet, SinkEnd};
use cutrickle_trickle::Delivery;
use tokio::sync::watch;

/// Tells the stream how its channel is doing. Returns when nothing can be published there any more.
pub(crate) async fn follow(outlet: &Outlet, mut delivery: watch::Receiver<Delivery>) -> Result<SinkEnd> {
    loop {
        let now = delivery.borrow_and_update().clone();
        match now {
            Delivery::Idle => {}
            Delivery::Taken => outlet.delivers(true),
            Delivery::Away => outlet.delivers(false),
            Delivery::Failed(error) if error.is_closed() => return Ok(SinkEnd::Closed),
            Delivery::Failed(error) => return Err(error.into()),
        }
        if delivery.changed().await.is_err() {
            // The publisher is gone, by our own doing.
            return std::future::pending().await;
        }
    }
}
