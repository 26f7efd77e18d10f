//! Whether what a stream publishes gets to its servers: told to the stream's state, and the stream's end where a server
//! takes nothing any more.

use cutrickle_error::chain;
use cutrickle_trickle::Delivery;
use tokio::sync::watch;

use crate::EndReason;
use crate::stream::Stream;

/// A channel that a stream publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlet {
    Output,
    Events,
    Data,
}

impl Outlet {
    pub(crate) const ALL: [Self; 3] = [Self::Output, Self::Events, Self::Data];

    /// Its place in a set of outlets.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Events => "events",
            Self::Data => "data",
        }
    }

    /// What it means when its server takes nothing.
    pub(crate) const fn away(self) -> &'static str {
        match self {
            Self::Output => "the output's server is out of reach or takes nothing",
            Self::Events => "the events' server is out of reach or takes nothing",
            Self::Data => "the data's server is out of reach or takes nothing",
        }
    }
}

/// Tells the stream how `outlet` is doing. Returns when nothing can be published there any more; the stream has been
/// asked to end then.
pub(crate) async fn follow(stream: &Stream, outlet: Outlet, mut delivery: watch::Receiver<Delivery>) {
    loop {
        let now = delivery.borrow_and_update().clone();
        match now {
            Delivery::Idle => {}
            Delivery::Taken => {
                stream.delivers(outlet, true);
                if outlet == Outlet::Output {
                    stream.output_seen();
                }
            }
            Delivery::Away => stream.delivers(outlet, false),
            Delivery::Failed(error) if error.is_closed() => return stream.stop(EndReason::OutputClosed),
            Delivery::Failed(error) => {
                return stream
                    .fail(EndReason::OutputFailed, format_args!("{}: {}", outlet.name(), chain(&error)));
            }
        }
        if delivery.changed().await.is_err() {
            // The publisher is gone, by our own doing.
            return std::future::pending().await;
        }
    }
}
