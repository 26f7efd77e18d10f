//! Tracks whether a stream's output reaches its server.

use cutrickle_pipeline::Result;
use cutrickle_pipeline::ends::{Outlet, SinkEnd};
use cutrickle_trickle::Delivery;
use tokio::sync::watch;

/// Reports the channel's condition to the stream. Returns once nothing can be published to it any more.
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
            // The publisher is gone because the stream dropped it.
            return std::future::pending().await;
        }
    }
}
