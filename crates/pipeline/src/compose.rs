//! Processors made of processors.
//!
//! ```
//! # use cutrickle_pipeline::{FrameProcessor, compose::*};
//! # use std::time::Duration;
//! # fn look(detector: impl FrameProcessor, upscaler: impl FrameProcessor) -> impl FrameProcessor {
//! with_overlay(
//!     every(2, detector)
//!         .then(map_tensor(|pixels| pixels.flip(&[1])))
//!         .then(with_timeout(upscaler, Duration::from_millis(30)).named("upscaler")),
//! )
//! # }
//! ```
//!
//! Each combinator is a [`FrameProcessor`] and knows nothing of the others. None of them looks at pixels that it does not
//! need: a picture that no part touched reaches the encoder as it came. What each does with time, order, sound and
//! parameters stands with its type.

mod batched;
mod dynamic;
mod every;
mod font;
mod from_fn;
mod map_tensor;
mod named;
mod overlay;
mod parallel;
mod parts;
mod switch;
mod then;
mod timeout;
mod worker;

pub use batched::{BatchModel, Batched};
pub use dynamic::DynProcessor;
pub use every::{Every, every};
pub use from_fn::{FromFn, from_fn};
pub use map_tensor::{MapTensor, map_tensor};
pub use named::Named;
pub use overlay::{Overlay, with_overlay};
pub use parallel::{Parallel, parallel};
pub use parts::Part;
pub(crate) use parts::{Partly, check_names, collect, merge};
pub use switch::{Switch, switch};
pub use then::Then;
pub use timeout::{Timeout, with_timeout};

use crate::FrameProcessor;

/// What every processor can do with others.
pub trait Compose: FrameProcessor {
    /// This processor, then `next` on what it returns.
    fn then<N: FrameProcessor>(self, next: N) -> Then<Self, N> {
        Then::new(self, next)
    }

    /// The same processor under a name, by which parameters reach it: `{"name": {"strength": 0.5}}`.
    fn named(self, name: impl Into<String>) -> Named<Self> {
        Named::new(self, name.into())
    }

    /// The same processor with its type forgotten, for a choice at run time.
    fn boxed(self) -> DynProcessor {
        DynProcessor::new(self)
    }
}

impl<P: FrameProcessor> Compose for P {}
