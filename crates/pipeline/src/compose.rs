//! Processors made of processors.
//!
//! ```
//! # use cutrickle_pipeline::{Stage, compose::*};
//! # use std::time::Duration;
//! # fn look(detector: impl Stage, upscaler: impl Stage) -> impl Stage {
//! with_overlay(
//!     every(2, detector)
//!         .then(map_tensor(|pixels| pixels.flip(&[1])))
//!         .then(with_timeout(upscaler, Duration::from_millis(30)).named("upscaler")),
//! )
//! # }
//! ```
//!
//! Each combinator is a [`Stage`] and knows nothing of the others. None of them looks at pixels that it does not need: a
//! frame that no part touched reaches the encoder as it came. What each does with time, order, audio and parameters is
//! said with its type.

mod batched;
mod buffered;
mod dynamic;
mod every;
mod from_fn;
mod in_order;
mod map_tensor;
mod model;
mod named;
mod overlay;
mod parallel;
mod parts;
mod remote;
mod switch;
mod then;
mod timeout;

pub use batched::{BatchModel, Batched};
pub use buffered::{Buffered, buffered};
pub use dynamic::DynProcessor;
pub use every::{Every, every};
pub use from_fn::{FromFn, from_fn};
pub use map_tensor::{MapTensor, map_tensor};
pub use model::{WithModel, with_model};
pub use named::Named;
pub use overlay::{Overlay, with_overlay};
pub use parallel::{Parallel, parallel};
pub use parts::Part;
pub(crate) use parts::{Partly, check_names, collect, merge};
pub use switch::{Switch, switch};
pub use then::Then;
pub use timeout::{Timeout, with_timeout};

use serde_json::Value;

use crate::Stage;

/// What every processor can do with others.
pub trait Compose: Stage {
    /// This processor, then `next` on what it returns.
    fn then<N: Stage>(self, next: N) -> Then<Self, N> {
        Then::new(self, next)
    }

    /// The same processor under a name, by which parameters reach it: `{"name": {"strength": 0.5}}`.
    fn named(self, name: impl Into<String>) -> Named<Self> {
        Named::new(self, name.into())
    }

    /// The same processor with its type erased, for a choice at run time.
    fn boxed(self) -> DynProcessor {
        DynProcessor::new(self)
    }

    /// The JSON schema of the parameters that it takes, those of its named parts under their names.
    fn params_schema(&self) -> Value {
        parts::schema(&self.parts())
    }
}

impl<S: Stage> Compose for S {}
